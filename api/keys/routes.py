"""API keys of the caller's tenant, for administrators."""

from __future__ import annotations

from typing import Any

import flask

from api import context
from api.keys import schemas, view
from api.smorest import Blueprint
from knify.services import keys

blp = Blueprint("keys", __name__, description="API keys")


@blp.route("/keys", methods=["POST"])
@blp.needs("admin")
@blp.arguments(schemas.NewKey)
@blp.response(200, schemas.CreatedKey)
def create_key(body: dict[str, Any]) -> flask.Response:
    """Make a key; its text is shown this once."""
    body["scopes"] = tuple(dict.fromkeys(body["scopes"]))
    made = keys.create(context.core(), context.tenant(), **body)
    return flask.jsonify(view.key(made.record) | {"key": made.text})


@blp.route("/keys")
@blp.needs("admin")
@blp.response(200, schemas.Key(many=True))
def list_keys() -> flask.Response:
    """The tenant's keys, revoked ones too."""
    found = context.core().store.registry.list_keys(context.tenant())
    return flask.jsonify([view.key(k) for k in found])


@blp.route("/keys/<key_id>", methods=["DELETE"])
@blp.needs("admin")
@blp.response(200, schemas.Revoked)
def revoke_key(key_id: str) -> flask.Response:
    """From now on (5 s at most) the key opens nothing."""
    keys.revoke(context.core(), context.tenant(), key_id)
    flask.current_app.extensions["knify.keys"].forget(key_id)
    return flask.jsonify({"success": True})
