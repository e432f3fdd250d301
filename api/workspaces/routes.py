"""Workspaces: upload, list, show, download, delete."""

from __future__ import annotations

import hashlib
from typing import Any

import flask

from api import aside, context, idempotency, paging
from api.smorest import Blueprint
from api.workspaces import incoming, outgoing, schemas, view
from knify import errors
from knify.services import uploads, workspaces

blp = Blueprint("workspaces", __name__, description="Folders that jobs start from")

_TAR = {"content": {"application/x-tar": {"schema": {"type": "string"}}}}


@blp.route("/workspaces", methods=["POST"])
@blp.needs("write")
@blp.doc(requestBody=schemas.UPLOAD)
@blp.response(200, schemas.Uploaded)
def upload_workspace() -> flask.Response:
    """Upload an archive (.tar.gz, .tar, .tar.zst, .zip) as a workspace's next version."""
    running = context.transfers()
    with (
        running.slot(context.tenant()),
        incoming.upload(context.core().settings, running) as received,
    ):
        if received is None:
            raise errors.BadRequest(
                "the file is missing: send workspace=@x.tar.gz and optionally name",
                detail={"field": "workspace"},
            )
        flask.g.upload = received
        return _store()


def _name() -> str:
    received: incoming.Upload = flask.g.upload
    return received.name if received.name is not None else workspaces.stem(received.filename)


def _digest() -> str:
    """What an Idempotency-Key is bound to; the file's name and the form's order do not matter."""
    words = f"{flask.request.path}\n{_name()}\n{flask.g.upload.sha256}"
    return hashlib.sha256(words.encode()).hexdigest()


@idempotency.replays_with(digest=_digest)
def _store() -> flask.Response:
    received: incoming.Upload = flask.g.upload
    added = uploads.upload(
        context.core(),
        context.tenant(),
        workspaces.check_name(_name()),
        received.file,
        received.sha256,
        workspace_id=idempotency.new_id("workspace"),
        aside=aside.heavy(context.tenant()),
    )
    return flask.jsonify(view.workspace(added.workspace) | {"unchanged": added.unchanged})


@blp.route("/workspaces")
@blp.needs("read")
@blp.arguments(schemas.Filters, location="query")
@blp.response(200, schemas.Workspace(many=True))
def list_workspaces(query: dict[str, Any]) -> flask.Response:
    """List versions, newest first: all, or those of one name."""
    asked = paging.window(query.get("page"), query.get("limit"))
    found = context.core().store.workspaces.page(
        context.tenant(), name=query.get("name"), offset=asked.offset, limit=asked.limit
    )
    return paging.respond([view.workspace(w) for w in found.workspaces], found.total, asked)


@blp.route("/workspaces/<workspace_id>")
@blp.needs("read")
@blp.response(200, schemas.Workspace)
def get_workspace(workspace_id: str) -> flask.Response:
    """Show one version."""
    found = workspaces.get(context.core(), context.tenant(), workspace_id)
    return flask.jsonify(view.workspace(found))


@blp.route("/workspaces/<workspace_id>", methods=["DELETE"])
@blp.needs("write")
@blp.response(200, schemas.Deleted)
def delete_workspace(workspace_id: str) -> flask.Response:
    """Delete one version for good; refused while jobs still have to begin with it."""
    workspaces.delete(context.core(), context.tenant(), workspace_id)
    return flask.jsonify({"success": True})


@blp.route("/workspaces/<workspace_id>/download")
@blp.needs("read")
@blp.doc(responses={200: _TAR, 206: _TAR, 304: {"description": "Not modified"}})
@blp.response(200)
def download_workspace(workspace_id: str) -> flask.Response:
    """Its files as one tar, or a range of it."""
    found = workspaces.get(context.core(), context.tenant(), workspace_id)
    return outgoing.respond(found)
