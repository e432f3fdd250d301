"""The API's own description, for programs and for people. Open to everybody."""

from __future__ import annotations

import flask

from api import auth, context
from api.openapi import page
from api.smorest import Blueprint

blp = Blueprint("documentation", __name__, description="This description")

_PAGE = {"content": {"text/html": {"schema": {"type": "string"}}}}
_FILE = {
    "content": {
        "text/javascript": {"schema": {"type": "string"}},
        "text/css": {"schema": {"type": "string"}},
    }
}
_UNCHANGED = {"description": "Not modified"}


@blp.route("/openapi.json")
@blp.needs(auth.PUBLIC)
@blp.doc(responses={304: _UNCHANGED})
@blp.response(200, {"type": "object"})
def get_openapi() -> flask.Response:
    """This description."""
    text, etag = flask.current_app.extensions[context.OPENAPI].text()
    response = flask.Response(text, mimetype="application/json")
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(etag)
    response.make_conditional(flask.request)
    return response


@blp.route("/docs")
@blp.needs(auth.PUBLIC)
@blp.doc(responses={200: _PAGE})
@blp.response(200)
def get_docs() -> flask.Response:
    """This description as a page where calls can be tried out."""
    return page.page()


@blp.route("/docs/")
@blp.needs(auth.PUBLIC)
@blp.doc(responses={200: _PAGE})
@blp.response(200)
def get_docs_folder() -> flask.Response:
    """The same."""
    return page.page()


@blp.route("/docs/<name>")
@blp.needs(auth.PUBLIC)
@blp.doc(responses={200: _FILE, 304: _UNCHANGED})
@blp.response(200)
def get_docs_file(name: str) -> flask.Response:
    """One of the page's files."""
    return page.file(name)
