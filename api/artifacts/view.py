"""A job's files: their content as one map, and all of them as one archive."""

from __future__ import annotations

import functools
import json
import math
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn
from urllib.parse import quote

from api import aside, measure
from knify import model
from knify.objects import base

MAX_SHOWN = 1024**2  # bytes of one file shown in the map
MAX_SHOWN_TOTAL = 8 * 1024**2  # bytes of all of them
MAX_NODES = 50_000  # lists and objects of the JSON files in a map, all together
_TINY = 16 * 1024  # bytes that are parsed where they are
_BLOCK = tarfile.BLOCKSIZE


def contents(
    store: base.ObjectStore,
    found: Sequence[model.Artifact],
    read: aside.Reading,
    parse: aside.Reading,
) -> str:
    """Path to content, as JSON text: JSON as it is, text as a string, else where to get the file.

    Parsing only proves that a file is JSON: its own text goes into the answer. What has so many
    lists and objects that this would hold up the process's other requests is a link.
    """
    left, nodes, shown = MAX_SHOWN_TOTAL, MAX_NODES, []
    for artifact in found:
        raw = None
        if not artifact.withheld and artifact.size <= min(MAX_SHOWN, left):
            raw = read(functools.partial(_read, store, artifact))
            left -= artifact.size  # read, whether it can be shown or not
        shape = functools.partial(_value, artifact, raw, nodes)
        value, used = parse(shape) if raw and len(raw) > _TINY else shape()
        nodes -= used
        shown.append(f"{json.dumps(artifact.path)}:{value}")
    return "{" + ",".join(shown) + "}"


def elsewhere(artifact: model.Artifact) -> dict[str, Any]:
    """Where to get a file that is not shown; of one that holds a secret, that it is withheld."""
    if artifact.withheld:
        return {
            "withheld": True,
            "size_bytes": artifact.size,
            "content_type": artifact.content_type,
        }
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


def _read(store: base.ObjectStore, artifact: model.Artifact) -> bytes:
    with store.open(artifact.key) as reader:
        return reader.read()


def _value(artifact: model.Artifact, raw: bytes | None, nodes: int) -> tuple[str, int]:
    """What the map has for it; and how many lists and objects these are, of `nodes` at most."""
    text = None if raw is None or b"\0" in raw else _decoded(raw)
    if raw is None or text is None:
        return json.dumps(elsewhere(artifact)), 0
    if artifact.content_type != "application/json" and not artifact.path.endswith(".json"):
        return json.dumps(text), 0
    if measure.exceeds(raw, b"[{", nodes):
        return json.dumps(elsewhere(artifact)), 0
    is_json = _is_json(text)
    return text if is_json else json.dumps(text), measure.count(raw, b"[{")


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_json(text: str) -> bool:
    """Whether every reader would take it, and not only the file's name says so."""
    try:
        json.loads(text, parse_constant=_refuse, parse_float=_number)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _number(text: str) -> float:
    if math.isinf(value := float(text)):
        raise ValueError("a number is too large")
    return value


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
        if artifact.withheld:
            continue
        info = tarfile.TarInfo(artifact.path)
        info.size, info.mtime, info.mode = artifact.size, artifact.created_at // 1000, 0o644
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield from base.spans(store, artifact.key, 0, artifact.size)
        yield b"\0" * (-artifact.size % _BLOCK)
    yield b"\0" * (2 * _BLOCK)
