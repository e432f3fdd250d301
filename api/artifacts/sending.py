"""One file as an answer."""

from __future__ import annotations

import itertools

import flask

from api import aside, context, downloads
from knify import model
from knify.objects import base


def send(artifact: model.Artifact) -> flask.Response:
    """The file, a range of it, or that it did not change."""
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
