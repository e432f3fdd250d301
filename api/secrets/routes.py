"""Secrets of the tenant: what jobs name, and nobody is ever shown."""

from __future__ import annotations

from typing import Any

import flask

from api import context
from api.secrets import schemas, view
from api.smorest import Blueprint
from knify.services import secrets

blp = Blueprint("secrets", __name__, description="Secrets")


@blp.route("/secrets")
@blp.needs("read")
@blp.response(200, schemas.Secret(many=True))
def list_secrets() -> flask.Response:
    """The tenant's secrets by name, never their values; there are 1,000 at most."""
    found = context.core().store.secrets.of_tenant(context.tenant())
    return flask.jsonify([view.secret(one) for one in found])


@blp.route("/secrets/<secret_name>")
@blp.needs("read")
@blp.response(200, schemas.Secret)
def show_secret(secret_name: str) -> flask.Response:
    """Since when it is there, and when it was changed last."""
    return flask.jsonify(
        view.secret(context.core().store.secrets.get(context.tenant(), secret_name))
    )


@blp.route("/secrets/<secret_name>", methods=["PUT"])
@blp.needs("write")
@blp.arguments(schemas.Value)
@blp.response(200, schemas.Secret)
def put_secret(body: dict[str, Any], secret_name: str) -> flask.Response:
    """Keep a value, instead of the one before. Jobs that start from now on are given it."""
    kept = secrets.put(context.core(), context.tenant(), secret_name, body["value"])
    return flask.jsonify(view.secret(kept))


@blp.route("/secrets/<secret_name>", methods=["DELETE"])
@blp.needs("write")
@blp.response(200, schemas.DeletedSecret)
def delete_secret(secret_name: str) -> flask.Response:
    """Jobs that name it and have not started fail; what runs keeps what it was given."""
    context.core().store.secrets.drop(context.tenant(), secret_name)
    return flask.jsonify({"success": True})
