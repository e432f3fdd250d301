"""`/docs`: Swagger UI from files on this server; nothing is asked of any other one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import flask

from knify import errors

_HERE: Final = Path(__file__).parent
#: What set-up fetched (`deploy/setup.sh`); not part of the source.
FETCHED: Final = _HERE / "ui"
#: The only files that are served, and what they are.
FILES: Final = {
    "swagger-ui-bundle.js": (FETCHED, "text/javascript"),
    "swagger-ui.css": (FETCHED, "text/css"),
    "start.js": (_HERE, "text/javascript"),
}
# Swagger UI sets styles on elements; no script but the two files of this server may run.
_POLICY: Final = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)  # fmt: skip


def page() -> flask.Response:
    """The page, or a plain one that says how to get its files."""
    name = "page.html" if is_installed() else "missing.html"
    response = flask.Response((_HERE / name).read_bytes(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    return response


def is_installed() -> bool:
    """Whether set-up has fetched the files."""
    return all((folder / name).is_file() for name, (folder, _) in FILES.items())


def file(name: str) -> flask.Response:
    """One of the page's files. NotFound for any other name."""
    folder, kind = FILES.get(name, (None, ""))
    if folder is None or not (folder / name).is_file():
        raise errors.NotFound(f"no file {name[:200]}: run make setup")
    response = flask.send_file(folder / name, mimetype=kind, conditional=True)
    response.headers["Cache-Control"] = "no-cache"  # asked for again, answered with 304
    return response
