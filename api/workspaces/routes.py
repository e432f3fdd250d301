"""Workspaces: upload, list, show, download, delete."""

from __future__ import annotations

from typing import BinaryIO, cast

import flask
from werkzeug.datastructures import FileStorage

from api import aside, context, downloads
from api import errors as api_errors
from api.smorest import Blueprint
from api.workspaces import schemas, view
from knify import errors
from knify.services import workspaces

blp = Blueprint("workspaces", __name__, description="Folders that jobs start from")

FORM_BYTES = 64 * 1024  # what a multipart form adds to its file
_TAR = {"content": {"application/x-tar": {"schema": {"type": "string"}}}}


@blp.route("/workspaces", methods=["POST"])
@blp.needs("write")
@blp.doc(requestBody=schemas.UPLOAD)
@blp.response(200, schemas.Workspace)
def upload_workspace() -> flask.Response:
    """Upload an archive (.tar.gz, .tar, .tar.zst, .zip) as a workspace's next version."""
    file, name = _form()
    core, tenant = context.core(), context.tenant()
    chosen = workspaces.check_name(workspaces.stem(file.filename or "") if name is None else name)
    stream = cast(BinaryIO, file.stream)
    record = aside.run(lambda: workspaces.store(core, tenant, stream, chosen))
    return flask.jsonify(view.workspace(workspaces.add(core, record)))


@blp.route("/workspaces")
@blp.needs("read")
@blp.response(200, schemas.Workspace(many=True))
def list_workspaces() -> flask.Response:
    """The newest hundred versions."""
    found = context.core().store.registry.list_workspaces(context.tenant())
    return flask.jsonify([view.workspace(w) for w in found])


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
    """Delete one version for good."""
    workspaces.delete(context.core(), context.tenant(), workspace_id)
    return flask.jsonify({"success": True})


@blp.route("/workspaces/<workspace_id>/download")
@blp.needs("read")
@blp.doc(responses={200: _TAR})
@blp.response(200)
def download_workspace(workspace_id: str) -> flask.Response:
    """Its files as one tar."""
    found = workspaces.get(context.core(), context.tenant(), workspace_id)
    body = workspaces.open_tar(context.core(), found)
    filename = f"{found.name}-v{found.version}.tar"
    return downloads.attachment(body, filename, "application/x-tar", size=body.size)


def _form() -> tuple[FileStorage, str | None]:
    """The file and the optional name. BadRequest, TooLarge (from the parser)."""
    request = flask.request
    if request.mimetype != "multipart/form-data":
        raise api_errors.UnsupportedMediaType("send multipart/form-data: -F workspace=@x.tar.gz")
    request.max_content_length = context.core().settings.workspace_bytes + FORM_BYTES
    unknown = sorted((set(request.files) | set(request.form)) - {"workspace", "name"})
    file = request.files.get("workspace")
    if file is None or unknown:
        problem = f"unknown field {unknown[0][:100]!r}" if unknown else "the file is missing"
        raise errors.BadRequest(
            f"{problem}: send workspace=@x.tar.gz and optionally name",
            detail={"field": unknown[0][:100] if unknown else "workspace"},
        )
    return file, request.form.get("name")
