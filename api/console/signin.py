"""Signing in with a key, and out; and the files that every page needs."""

from __future__ import annotations

from typing import Final

import flask

from api import auth, context, sessions
from api.console import assets, blueprint
from knify import errors

_LONGEST: Final = 16 * 1024  # bytes of the form: a key, and where to go on


@blueprint.page("", needs=auth.PUBLIC)
def get_console() -> flask.Response:
    """The first page."""
    return blueprint.go("/console/jobs")


@blueprint.page("/", needs=auth.PUBLIC)
def get_console_folder() -> flask.Response:
    """The same."""
    return blueprint.go("/console/jobs")


@blueprint.page("/assets/<name>", needs=auth.PUBLIC)
def get_asset(name: str) -> flask.Response:
    """A script, a style sheet, a font or the icons."""
    sessions.set_no_cookie()
    return assets.file(name)


@blueprint.page("/sign-in", needs=auth.PUBLIC)
def get_sign_in() -> flask.Response:
    """The form, or on to the jobs where nobody needs a key."""
    if flask.current_app.config["NO_AUTH"]:
        return blueprint.go("/console/jobs")
    return _form()


@blueprint.page("/sign-in", needs=auth.PUBLIC, methods=["POST"])
def post_sign_in() -> flask.Response:
    """Begin a session."""
    flask.request.max_content_length = _LONGEST  # before anybody is known
    sessions.check_origin()
    text = flask.request.form.get("key", "").strip()
    if not text:
        return _form("Enter an API key.", 400)
    try:
        sessions.begin(context.core(), text)
    except errors.Unauthorized:
        return _form("This key opens nothing here: it is wrong, has expired, or was revoked.", 401)
    return blueprint.go(_inside(flask.request.form.get("next", "")))


@blueprint.page("/sign-out", methods=["POST"], looks=True)
def post_sign_out() -> flask.Response:
    """End the session; also of a key that has used its requests up."""
    sessions.end(context.core())
    return blueprint.go("/console/sign-in")


@blueprint.page("/<path:rest>", needs=auth.PUBLIC)
def get_nothing(rest: str) -> flask.Response:
    """Whatever else is asked for."""
    raise errors.NotFound("There is nothing at this address.")


def _form(problem: str = "", status: int = 200) -> flask.Response:
    wanted = flask.request.values.get("next", "")
    return blueprint.render("sign_in.html", status, problem=problem, next=_inside(wanted))


def _inside(where: str) -> str:
    """A page of the console, and never another site's."""
    fits = where.startswith("/console/") and "\\" not in where and where.isprintable()
    return where if fits and ".." not in where else "/console/jobs"
