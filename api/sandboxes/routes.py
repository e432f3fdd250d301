"""Sandboxes: what there is, where it lives, and what nobody knows any more."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import flask

from api import bodies, context, paging
from api.sandboxes import schemas, view
from api.smorest import Blueprint
from api.strict import load
from knify import errors
from knify.services import networks, powers, sandboxes

blp = Blueprint("sandboxes", __name__, description="Containers and files that outlive their jobs")


@blp.route("/sandboxes")
@blp.needs("read")
@blp.arguments(schemas.Filters, location="query")
@blp.response(200, schemas.Sandbox(many=True))
def list_sandboxes(query: dict[str, Any]) -> flask.Response:
    """List sandboxes, newest first; with `orphans`, what Podman has and Redis does not know."""
    asked = paging.window(query.get("page"), query.get("limit"))
    store = context.core().store
    if query["orphans"]:
        if not powers.runs_all(context.key()):
            raise errors.Forbidden(
                "orphans belong to no tenant: this needs the scope admin of the tenant "
                f"{powers.OPERATOR}"
            )
        orphans = [o for node in store.registry.node_names() for o in store.sandboxes.orphans(node)]
        kept = int(context.core().settings.orphan_hours * 3_600_000)
        rolled = store.registry.rolled_back_at()
        shown = orphans[asked.offset : asked.offset + asked.limit]
        rows = [view.orphan(o, max(o.found_at, rolled) + kept) for o in shown]
        return paging.respond(rows, len(orphans), asked)
    page, total = store.sandboxes.page(context.tenant(), offset=asked.offset, limit=asked.limit)
    turns = store.sandboxes.turns_of([s.id for s in page])
    rows = [view.sandbox(s, turns[s.id]) for s in page]
    return paging.respond(rows, total, asked)


@blp.route("/sandboxes/<sandbox_id>")
@blp.needs("read")
@blp.response(200, schemas.Sandbox)
def get_sandbox(sandbox_id: str) -> flask.Response:
    """Show a sandbox."""
    store = context.core().store.sandboxes
    found = store.get(sandbox_id, tenant=context.tenant())
    return flask.jsonify(view.sandbox(found, store.turns(found.id)))


@blp.route("/sandboxes/<sandbox_id>/extend", methods=["POST"])
@blp.needs("write")
@blp.doc(requestBody={"content": {"application/json": {"schema": schemas.Extension}}})
@blp.response(200, schemas.Sandbox)
def extend_sandbox(sandbox_id: str) -> flask.Response:
    """Keep an idle sandbox for some time from now on, or for as long as after a job's end."""
    body = load(schemas.Extension(), bodies.read_optional())
    found = sandboxes.extend(context.core(), context.tenant(), sandbox_id, **body)
    return flask.jsonify(view.sandbox(found, ()))


@blp.route("/sandboxes/<sandbox_id>/network", methods=["PATCH"])
@blp.needs("write")
@blp.arguments(schemas.Network)
@blp.response(200, schemas.ChangedNetwork)
def change_network(wanted: dict[str, Any], sandbox_id: str) -> flask.Response:
    """Change what the sandbox's running job may reach, until its end."""
    changed = networks.change(context.core(), context.tenant(), sandbox_id, wanted)
    return flask.jsonify(asdict(changed))
