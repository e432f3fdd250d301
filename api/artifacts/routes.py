"""The files that a job created or changed."""

from __future__ import annotations

from typing import Any

import flask

from api import aside, context, downloads
from api.artifacts import schemas, sending, view
from api.smorest import Blueprint
from knify import model
from knify.services import artifacts

blp = Blueprint("artifacts", __name__, description="The files that jobs made")

_MAP = {"type": "object", "additionalProperties": True}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"content": {"application/octet-stream": _BYTES, "*/*": _BYTES}}
_TAR = {"content": {"application/gzip": {"schema": {"type": "string"}}}}


@blp.route("/jobs/<job_id>/artifacts")
@blp.needs("read")
@blp.arguments(schemas.Listing, location="query")
@blp.response(200, _MAP)
def get_artifacts(query: dict[str, Any], job_id: str) -> flask.Response:
    """Path to content; large and binary files, or all, as a link with size and checksum."""
    found = _listing(job_id)
    if not query["content"]:
        return flask.jsonify({a.path: view.elsewhere(a) for a in found})
    objects = context.core().objects
    read = aside.reader(context.tenant())
    text = view.contents(objects, found, read, aside.parser(context.tenant()))
    return flask.Response(text + "\n", mimetype="application/json")


@blp.route("/jobs/<job_id>/artifacts.tar.gz")
@blp.needs("read")
@blp.doc(responses={200: _TAR})
@blp.response(200)
def download_all_artifacts(job_id: str) -> flask.Response:
    """All files as one archive."""
    found = _listing(job_id)
    body = view.archive(context.core().objects, found, aside.reader(context.tenant()))
    return downloads.attachment(body, f"{job_id}-artifacts.tar.gz", "application/gzip")


@blp.route("/jobs/<job_id>/artifacts/<path:path>")
@blp.needs("read")
@blp.doc(responses={200: _FILE, 206: _FILE, 304: {"description": "Not modified"}})
@blp.response(200)
def download_artifact(job_id: str, path: str) -> flask.Response:
    """One file, or a range of it."""
    core = context.core()
    x = core.store.executions.get(job_id, tenant=context.tenant())
    return sending.send(artifacts.find(core, x, path))


def _listing(job_id: str) -> list[model.Artifact]:
    x = context.core().store.executions.get(job_id, tenant=context.tenant())
    return artifacts.of(context.core(), x)
