"""The manifest in a request's body, whichever of its two languages it is written in."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import flask

from api import aside, bodies, context
from api import errors as api_errors
from knify import errors, manifest, yamltext

YAML: Final = ("application/yaml", "text/yaml", "application/x-yaml", "text/x-yaml")
_TINY: Final = 16 * 1024  # bytes that are parsed where they are
_MANIFEST: Final = "manifest"


def wanted() -> manifest.Manifest:
    """The request's manifest. InvalidManifest, TooLarge, UnsupportedMediaType."""
    return manifest.read(_values())


def digest() -> str:
    """What an Idempotency-Key is bound to: the same in YAML and in JSON."""
    text = json.dumps(_values(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{flask.request.path}\n{text}".encode()).hexdigest()


def yaml(raw: bytes) -> Any:
    """The values of a manifest in YAML. InvalidManifest, TooLarge."""
    if len(raw) > yamltext.MAX_BYTES:
        raise errors.TooLarge(f"a manifest has at most {yamltext.MAX_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
        if len(raw) <= _TINY:
            return yamltext.read(text)
        return aside.parser(context.tenant())(_reader(text))
    except UnicodeError as failed:
        raise errors.InvalidManifest("the manifest is not valid UTF-8") from failed
    except ValueError as failed:
        raise errors.InvalidManifest(f"the manifest is not valid YAML: {failed}") from failed


def _values() -> Any:
    """The body's, read once."""
    if _MANIFEST not in flask.g:
        setattr(flask.g, _MANIFEST, _read())
    return flask.g.get(_MANIFEST)


def _read() -> Any:
    kind = flask.request.mimetype
    if kind in YAML:
        return yaml(bodies.raw())
    if kind != "application/json" and not kind.endswith("+json"):
        raise api_errors.UnsupportedMediaType(
            "send the manifest with Content-Type: application/yaml or application/json"
        )
    try:
        return bodies.read()
    except errors.BadRequest as failed:
        if type(failed) is not errors.BadRequest:
            raise
        raise errors.InvalidManifest(failed.message) from failed


def _reader(text: str) -> Any:
    return lambda: yamltext.read(text)
