"""What all pages of the console share: their blueprint, who may see them, headers, failures."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import flask
import redis
from werkzeug import exceptions as http

from api import aside, auth, sessions
from api import errors as api_errors
from api.console import assets, shown
from knify import __version__, errors
from knify.services import powers

log = logging.getLogger(__name__)

#: Only files of this server, and nothing that stands in a page itself: no script, no style.
POLICY: Final = "; ".join(
    [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "font-src 'self'",
        "img-src 'self'", "connect-src 'self'", "form-action 'self'", "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)  # fmt: skip
_WORTH: Final = 1_400  # bytes: less is one packet anyway
_LONG: Final = 128 * 1024  # what is longer is packed beside the loop
THEMES: Final = ("light", "dark")
THEME_COOKIE: Final = "knify_theme"

#: The menu: what it is called, where it is, its icon, and the scope that it needs.
MENU: Final = (
    ("Jobs", "/console/jobs", "list-checks", "read"),
    ("Tasks", "/console/tasks", "git-branch", "read"),
    ("Schedules", "/console/schedules", "calendar-clock", "read"),
    ("Sandboxes", "/console/sandboxes", "box", "read"),
    ("Workspaces", "/console/workspaces", "folder", "read"),
    ("Webhooks", "/console/webhooks", "webhook", "read"),
    ("Keys", "/console/keys", "key-round", "admin"),
    ("System", "/console/system", "server", auth.OPERATOR),
)

blp = flask.Blueprint("console", __name__, url_prefix="/console", template_folder="templates")


def page(
    rule: str,
    *,
    needs: str = "read",
    methods: Sequence[str] = ("GET",),
    streams: bool = False,
    looks: bool = False,
) -> Callable[[auth.View], auth.View]:
    """Serve a view at `/console` + rule to browsers whose session has the scope `needs`.

    auth.PUBLIC: to everybody. `streams`: the view reads its form as it comes, and checks the form's
    token by `sessions.check_token` before it does anything. `looks`: it changes nothing
    and is asked by POST all the same.
    """

    def mark(view: auth.View) -> auth.View:
        marked = auth.needs(needs)(view)
        if needs != auth.PUBLIC:
            marked = auth.opens_by_session(marked)
        if streams:
            marked = auth.reads_its_form(marked)
        if looks:
            marked = auth.changes_nothing(marked)
        blp.add_url_rule(rule, view_func=marked, methods=list(methods))
        return marked

    return mark


def render(template: str, code: int = 200, **words: Any) -> flask.Response:
    """A page, or a part of one."""
    if not assets.manifest():
        template, code = "missing.html", 503
    text = flask.render_template(f"console/{template}", **words)
    return flask.Response(text, status=code, mimetype="text/html")


def go(path: str, notice: str = "", **query: Any) -> flask.Response:
    """Go on at another page of the console, which shows the notice once."""
    if notice:
        flask.flash(notice)
    words = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return flask.Response(status=303, headers={"Location": path + (f"?{words}" if words else "")})


def wants_part() -> bool:
    """Whether a script of ours asks, for a piece of the page that it shows."""
    return flask.request.headers.get("X-Knify-Part") == "true"


def may(scope: str) -> bool:
    """Whether whoever looks may do what needs this scope."""
    key = flask.g.get("key")
    if key is None:
        return False
    return powers.runs_all(key) if scope == auth.OPERATOR else powers.may(key, scope)


@blp.context_processor
def _words() -> dict[str, Any]:
    key = flask.g.get("key")
    return {
        "asset": assets.url,
        "csrf_value": sessions.csrf,
        "csrf_field": sessions.CSRF_FIELD,
        "key": key,
        "may": may,
        "menu": [entry for entry in MENU if may(entry[3])],
        "no_auth": flask.current_app.config["NO_AUTH"],
        "theme": _theme(),
        "version": __version__,
    } | shown.FILTERS


@blp.after_request
def _headers(response: flask.Response) -> flask.Response:
    if "Content-Security-Policy" not in response.headers:
        response.headers["Content-Security-Policy"] = POLICY
    # Within the console only: with none at all, forms would come from the origin "null".
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    response.headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
    response.headers.setdefault("X-Frame-Options", "DENY")
    if response.mimetype == "text/html" and not response.is_streamed:
        _pack(response)
    return response


def _pack(response: flask.Response) -> None:
    """A list is a sixth of its size. What a page holds cannot be guessed by how well it packs: no
    other site's page can have one asked for with this browser's cookie, which is SameSite=Strict.
    """
    response.vary.add("Accept-Encoding")
    whole = response.get_data()
    if len(whole) > _WORTH and flask.request.accept_encodings["gzip"] > 0:
        response.set_data(_packed(whole) if len(whole) < _LONG else _packed_aside(whole))
        response.headers["Content-Encoding"] = "gzip"


def _packed(whole: bytes) -> bytes:
    return gzip.compress(whole, compresslevel=5, mtime=0)


def _packed_aside(whole: bytes) -> bytes:
    return aside.packing(lambda: _packed(whole))


@blp.errorhandler(Exception)
def _failed(failed: Exception) -> flask.typing.ResponseReturnValue:
    """A page that says what went wrong; a sign-in where that is what is missing."""
    if isinstance(failed, redis.RedisError):
        failed = api_errors.of_redis(failed)
    if isinstance(failed, http.HTTPException) and (failed.code or 500) < 400:
        return failed.get_response()
    if isinstance(failed, errors.Unauthorized):
        return _sign_in()
    status, message = _told(failed)
    if status >= 500:
        log.warning("request %s: %s", flask.g.request_id, message, exc_info=failed)
    name = "failed_part.html" if wants_part() else "failed.html"
    return render(name, status, status=status, message=message, request_id=flask.g.request_id)


def _told(failed: Exception) -> tuple[int, str]:
    if isinstance(failed, errors.KnifyError):
        return api_errors.status_of(failed), failed.message
    if isinstance(failed, http.HTTPException):
        message = "There is nothing at this address." if failed.code == 404 else failed.description
        return failed.code or 500, message or failed.name
    return 500, "Something went wrong here. The server's log has it under this request id."


def _sign_in() -> flask.Response:
    request = flask.request
    where = request.full_path.rstrip("?") if request.method == "GET" else "/console/jobs"
    if wants_part():
        return flask.Response(status=401)
    return go("/console/sign-in", next=where if where != "/console/jobs" else "")


def _theme() -> str:
    wanted = flask.request.cookies.get(THEME_COOKIE, "")
    return wanted if wanted in THEMES else ""
