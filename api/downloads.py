"""Files on their way out: hostile content, so always an attachment that no browser interprets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

import flask
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import parse_range_header

_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")


def attachment(
    body: Iterable[bytes], filename: str, content_type: str, *, size: int | None = None
) -> flask.Response:
    """A streamed answer to be saved under `filename`."""
    response = flask.Response(body, content_type=content_type)
    response.headers["Content-Disposition"] = disposition(filename)
    response.headers["Content-Security-Policy"] = "sandbox"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if size is not None:
        response.content_length = size
    return response


@dataclass(frozen=True, slots=True)
class File:
    """What is to be sent."""

    name: str
    content_type: str
    size: int  # bytes
    sha256: str


def ranged(file: File, body: Callable[[int, int], Iterable[bytes]]) -> flask.Response:
    """The file or the range of it that was asked for; `body` gives its bytes from first to behind.

    416 when there is no such range.
    """
    part = wanted_range(file.size, file.sha256)
    first, behind = part or (0, file.size)
    response = attachment(body(first, behind), file.name, file.content_type, size=behind - first)
    response.set_etag(file.sha256)
    response.headers["Accept-Ranges"] = "bytes"
    if part is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {first}-{behind - 1}/{file.size}"
    return response


def disposition(filename: str) -> str:
    """RFC 6266: a plain name for old clients and the real one encoded as in RFC 5987."""
    plain = _UNSAFE.sub("_", filename) or "download"
    encoded = quote(filename.encode("utf-8", "surrogateescape"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def unchanged(etag: str) -> flask.Response | None:
    """That it did not change, for a client that has this content already."""
    if flask.request.if_none_match.contains_weak(etag):
        return flask.Response(status=304, headers={"ETag": f'"{etag}"'})
    return None


def wanted_range(size: int, etag: str) -> tuple[int, int] | None:
    """First and behind-last byte that the request asks for; None for all of it.

    Several ranges, other units and a stale `If-Range` get the whole; 416 when it lies outside.
    """
    asked = parse_range_header(flask.request.headers.get("Range"))
    condition = flask.request.headers.get("If-Range")
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None
    if condition is not None and condition.strip() != f'"{etag}"':
        return None
    found = asked.range_for_length(size)
    if found is None:
        raise RequestedRangeNotSatisfiable(length=size)
    return found
