"""API keys of the caller's tenant, for its administrators; of any tenant, for the operator."""

from __future__ import annotations

from typing import Any

import flask

from api import auth, bodies, context, idempotency, paging
from api.keys import schemas, view
from api.smorest import Blueprint
from api.strict import load
from knify import errors
from knify.services import keys, powers

blp = Blueprint("keys", __name__, description="API keys")


@blp.route("/keys", methods=["POST"])
@blp.needs("admin")
@idempotency.replays
@blp.arguments(schemas.NewKey)
@blp.response(200, schemas.CreatedKey)
def create_key(body: dict[str, Any]) -> flask.Response:
    """Make a key; its text is shown this once. It never goes beyond the one that asks."""
    tenant = _tenant(body.pop("tenant", None))
    seed = idempotency.seed()
    made = keys.create(context.core(), tenant, **body, maker=context.key(), seed=seed)
    return flask.jsonify(view.key(made.record) | {"key": made.text})


@blp.route("/keys")
@blp.needs("admin")
@blp.arguments(schemas.Filters, location="query")
@blp.response(200, schemas.Key(many=True))
def list_keys(query: dict[str, Any]) -> flask.Response:
    """The tenant's keys, newest first, revoked and expired ones for 30 days too."""
    asked = paging.window(query.get("page"), query.get("limit"))
    tenant = _tenant(query.get("tenant"))
    found, total = context.core().store.access.page_keys(
        tenant, offset=asked.offset, limit=asked.limit
    )
    return paging.respond([view.key(k) for k in found], total, asked)


@blp.route("/keys/<key_id>")
@blp.needs("admin")
@blp.arguments(schemas.Whose, location="query")
@blp.response(200, schemas.Key)
def get_key(query: dict[str, Any], key_id: str) -> flask.Response:
    """Show a key."""
    return flask.jsonify(view.key(keys.get(context.core(), _tenant(query.get("tenant")), key_id)))


@blp.route("/keys/<key_id>/rotate", methods=["POST"])
@blp.needs("admin")
@idempotency.replays
@blp.arguments(schemas.Whose, location="query")
@blp.doc(requestBody={"content": {"application/json": {"schema": schemas.Rotation}}})
@blp.response(200, schemas.CreatedKey)
def rotate_key(query: dict[str, Any], key_id: str) -> flask.Response:
    """Give a key another secret, shown this once; the old one opens for `grace` more."""
    body = load(schemas.Rotation(), bodies.read_optional())
    tenant, seed = _tenant(query.get("tenant")), idempotency.seed()
    made = keys.rotate(context.core(), tenant, key_id, **body, maker=context.key(), seed=seed)
    auth.forget(key_id)
    return flask.jsonify(view.key(made.record) | {"key": made.text})


@blp.route("/keys/<key_id>", methods=["DELETE"])
@blp.needs("admin")
@blp.arguments(schemas.Revocation, location="query")
@blp.response(200, schemas.Revoked)
def revoke_key(query: dict[str, Any], key_id: str) -> flask.Response:
    """From now on (5 s at most) the key opens nothing."""
    tenant = _tenant(query.get("tenant"))
    keys.revoke(context.core(), tenant, key_id, force=query["force"])
    auth.forget(key_id)
    return flask.jsonify({"success": True})


def _tenant(named: str | None) -> str:
    """Whose keys are meant. Forbidden for another tenant's, whether there is such a one or not."""
    if named in (None, context.tenant()):
        return context.tenant()
    if not powers.runs_all(context.key()):
        raise errors.Forbidden(
            f"only keys with the scope admin of the tenant {powers.OPERATOR} speak for others",
            detail={"field": "tenant"},
        )
    return str(named)
