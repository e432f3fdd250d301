"""The files that a job created or changed."""

from __future__ import annotations

import itertools
from typing import Any

import flask

from api import aside, context, downloads
from api.artifacts import schemas, view
from api.smorest import Blueprint
from knify import model
from knify.objects import base
from knify.services import artifacts

blp = Blueprint("artifacts", __name__, description="The files that jobs made")

_MAP = {"type": "object", "additionalProperties": True}
_FILE = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
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
    text = view.contents(objects, found, read)
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
    return _send(artifacts.find(core, x, path))


def _listing(job_id: str) -> list[model.Artifact]:
    x = context.core().store.executions.get(job_id, tenant=context.tenant())
    return artifacts.of(context.core(), x)


def _send(artifact: model.Artifact) -> flask.Response:
    if downloads.unchanged(artifact.sha256):
        return flask.Response(status=304, headers={"ETag": f'"{artifact.sha256}"'})
    part = downloads.wanted_range(artifact.size, artifact.sha256)
    first, behind = part or (0, artifact.size)
    spans = base.spans(context.core().objects, artifact.key, first, behind)
    body = aside.pieces(spans, aside.reader(context.tenant()))
    start = next(body, b"")  # while an error can still become a proper answer
    name = artifact.path.rpartition("/")[2]
    whole = itertools.chain([start], body)
    response = downloads.attachment(whole, name, artifact.content_type, size=behind - first)
    response.set_etag(artifact.sha256)
    response.headers["Accept-Ranges"] = "bytes"
    if part is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {first}-{behind - 1}/{artifact.size}"
    return response
