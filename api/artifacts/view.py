"""A job's files: their content as one map, and all of them as one archive."""

from __future__ import annotations

import functools
import json
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn
from urllib.parse import quote

from api import aside
from knify import model
from knify.objects import base

MAX_SHOWN = 1024**2  # bytes of one file shown in the map
MAX_SHOWN_TOTAL = 8 * 1024**2  # bytes of all of them
_BLOCK = tarfile.BLOCKSIZE


def contents(store: base.ObjectStore, found: Sequence[model.Artifact]) -> dict[str, Any]:
    """Path to content: JSON parsed, text as a string, else where to get the file."""
    left, shown = MAX_SHOWN_TOTAL, {}
    for artifact in found:
        text = None
        if artifact.size <= min(MAX_SHOWN, left):
            text = _text(store, artifact)
            left -= artifact.size  # read, whether it can be shown or not
        shown[artifact.path] = elsewhere(artifact) if text is None else _parsed(artifact, text)
    return shown


def elsewhere(artifact: model.Artifact) -> dict[str, Any]:
    """Where to get a file that is not shown."""
    return {
        "url": url(artifact),
        "size_bytes": artifact.size,
        "content_type": artifact.content_type,
        "sha256": artifact.sha256,
    }


def url(artifact: model.Artifact) -> str:
    """The path of its download; `key` holds the execution's id as its second part."""
    job_id = artifact.key.split("/")[1]
    return f"/jobs/{job_id}/artifacts/{quote(artifact.path, errors='surrogateescape')}"


def _text(store: base.ObjectStore, artifact: model.Artifact) -> str | None:
    with store.open(artifact.key) as reader:
        raw = reader.read()
    try:
        return None if b"\0" in raw else raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _parsed(artifact: model.Artifact, text: str) -> Any:
    if artifact.content_type != "application/json" and not artifact.path.endswith(".json"):
        return text
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text  # it only calls itself JSON


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def archive(
    store: base.ObjectStore, found: Sequence[model.Artifact], read: aside.Reading
) -> Iterator[bytes]:
    """All of them as a .tar.gz, made while it is sent."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for piece in aside.pieces(_tar(store, found), read):
        if packed := aside.packing(functools.partial(packer.compress, piece)):
            yield packed
    yield packer.flush()


def _tar(store: base.ObjectStore, found: Sequence[model.Artifact]) -> Iterator[bytes]:
    for artifact in found:
        info = tarfile.TarInfo(artifact.path)
        info.size, info.mtime, info.mode = artifact.size, artifact.created_at // 1000, 0o644
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield from base.spans(store, artifact.key, 0, artifact.size)
        yield b"\0" * (-artifact.size % _BLOCK)
    yield b"\0" * (2 * _BLOCK)
