"""The console's scripts, styles, fonts and icons, as `web/build.mjs` made them.

Their names hold a hash of what they are, so browsers keep them for good; `manifest.json` says
which name each has now. They are compressed where they are made.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Final

import flask

from knify import errors

FOLDER: Final = Path(__file__).parent / "assets"
_FOR_GOOD: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@functools.cache
def manifest() -> dict[str, str]:
    """Name in the sources to name of the file; empty when nothing was built."""
    try:
        found: dict[str, str] = json.loads((FOLDER / "manifest.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def url(name: str) -> str:
    """Where the browser finds it."""
    return f"/console/assets/{manifest().get(name, name)}"


def file(name: str) -> flask.Response:
    """One of the files. NotFound for any other name."""
    if name not in manifest().values():
        raise errors.NotFound(f"no file {name[:200]}: run make setup")
    path = FOLDER / name
    packed = path.with_name(f"{name}.gz")
    kind = _TYPES[path.suffix]
    takes_gzip = flask.request.accept_encodings["gzip"] > 0 and packed.is_file()
    response = flask.send_file(packed if takes_gzip else path, mimetype=kind, conditional=False)
    if takes_gzip:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = _FOR_GOOD
    return response
