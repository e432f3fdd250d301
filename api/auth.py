"""Who is asking, and whether they may.

API keys come in the Authorization header and nowhere else; streams open by `?token=` too.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import flask

from api import context, limits, origins, sessions
from knify import apikeys, errors
from knify.core import Core
from knify.services import keys, powers, tokens

CACHE_SECONDS = 5.0  # a revoked key may open things that much longer
CACHE_SIZE = 10_000  # keys; far more than a process sees
PUBLIC: Final = "public"
OPERATOR: Final = "operator"  # the scope admin, and the tenant of the installation's first key

CACHE: Final = "knify.keys"
USES: Final = "knify.uses"
_SCOPE = "knify_scope"
_STREAM = "knify_stream"
_METRICS = "knify_metrics"
_SESSION = "knify_session"
_LOOKS = "knify_looks"
_STREAMED = "knify_streamed"
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_EVERYBODY = apikeys.ApiKey(
    id="none", tenant="default", digest="", scopes=("admin",), tier="enterprise", created_at=0
)
View = TypeVar("View", bound=Callable[..., Any])


def needs(scope: str) -> Callable[[View], View]:
    """Mark a handler with the scope that its key must have, or PUBLIC, or OPERATOR."""

    return lambda view: _marked(view, _SCOPE, scope)


def opens_by_token(view: View, place: Sequence[str] = ()) -> View:
    """Mark a handler of a stream: a GET of it may come with `?token=` instead of a key.

    `place`: parameters of its query that say which stream it is, beside the path.
    """
    return _marked(view, _STREAM, tuple(place))


def is_stream(view: Any) -> bool:
    """The mark that `opens_by_token` left."""
    return hasattr(view, _STREAM)


def parameters(view: Any) -> tuple[str, ...]:
    """Those of its query that say which stream it is."""
    return getattr(view, _STREAM, ())


def opens_by_metrics_token(view: View) -> View:
    """Mark a handler that `KNIFY_METRICS_TOKEN` opens, too."""
    return _marked(view, _METRICS, True)


def opens_by_session(view: View) -> View:
    """Mark a page of the console: a browser's session opens it, and nothing else does."""
    return _marked(view, _SESSION, True)


def reads_its_form(view: View) -> View:
    """Mark a page whose large form is read as it comes: it checks the form's token itself."""
    return _marked(view, _STREAMED, True)


def changes_nothing(view: View) -> View:
    """Mark a page that is asked by POST and only looks: it costs none of a key's requests."""
    return _marked(view, _LOOKS, True)


def _marked(view: View, name: str, what: Any) -> View:
    setattr(view, name, what)
    return view


def place_of(view: Any, path: str, query: Mapping[str, str]) -> str:
    """Which stream it is: what its token is for."""
    named = [(name, query.get(name, "")) for name in parameters(view)]
    return f"{path}?{urlencode(named)}" if named else path


def scope_of(view: Any) -> str | None:
    """The mark that `needs` left."""
    return getattr(view, _SCOPE, None)


class Cache:
    """Keys that were valid a moment ago, by the hash of their text: no round trip for these."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, apikeys.ApiKey]] = {}

    def authenticate(self, core: Core, text: str) -> apikeys.ApiKey:
        """As `keys.authenticate`; Unauthorized is never remembered."""
        name = hashlib.sha256(text.encode()).digest()
        now = self._clock()
        until, record = self._known.get(name, (0.0, _EVERYBODY))
        if until > now:
            return record
        record = keys.authenticate(core, text)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        left = keys.remaining(record, record)  # it may end earlier by itself
        self._known[name] = (now + min(CACHE_SECONDS, left), record)
        return record

    def forget(self, key_id: str) -> None:
        """Ask Redis about this key from now on."""
        self._known = {name: row for name, row in self._known.items() if row[1].id != key_id}


def check() -> None:
    """Set `g.key`, or raise Unauthorized, RateLimited or Forbidden, before the handler runs."""
    app = flask.current_app
    if app.config["NO_AUTH"]:
        _only_this_machine()
        flask.g.key = _EVERYBODY
    view = app.view_functions.get(flask.request.endpoint or "")
    scope = scope_of(view)
    if getattr(view, _SESSION, False):
        _by_session(view, scope)
        return
    if app.config["NO_AUTH"]:
        return
    if scope == PUBLIC:
        return
    if flask.request.routing_exception is not None:
        _count_what_leads_nowhere()
        return
    if getattr(view, _METRICS, False) and _has_metrics_token():
        return
    flask.g.key = _by_token() if is_stream(view) and _has_token() else _known(_bearer())
    limits.check(flask.g.key)
    _check_scope(flask.g.key, scope)


def still_valid(core: Core, key: apikeys.ApiKey) -> bool:
    """Whether a stream that this key opened may go on."""
    return key is _EVERYBODY or keys.opens(key, core.store.access.find_key(key.id))


def forget(key_id: str) -> None:
    """The key was changed: what this process knows of it counts no more."""
    flask.current_app.extensions[CACHE].forget(key_id)


def _by_session(view: Any, scope: str | None) -> None:
    """A console's page. Only what changes anything counts: a page that is kept open costs none."""
    if not flask.current_app.config["NO_AUTH"]:
        flask.g.key = sessions.key(context.core())
        flask.current_app.extensions[USES].note(flask.g.key.id)
    if getattr(view, _STREAMED, False):
        sessions.check_origin()
    else:
        sessions.check_csrf()
    counts = flask.request.method == "POST" and not getattr(view, _LOOKS, False)
    if counts and flask.g.key is not _EVERYBODY:
        limits.check(flask.g.key)
    _check_scope(flask.g.key, scope)


def _check_scope(key: apikeys.ApiKey, scope: str | None) -> None:
    if scope == OPERATOR and not powers.runs_all(key):
        raise errors.Forbidden(
            f"this needs a key with the scope admin of the tenant {powers.OPERATOR}"
        )
    if scope is None or (scope != OPERATOR and not powers.may(key, scope)):
        raise errors.Forbidden(f"this needs a key with the scope {scope}")


def _known(text: str) -> apikeys.ApiKey:
    app = flask.current_app
    key: apikeys.ApiKey = app.extensions[CACHE].authenticate(context.core(), text)
    app.extensions[USES].note(key.id)
    return key


def _has_token() -> bool:
    request = flask.request
    return (
        request.method == "GET"
        and "Authorization" not in request.headers
        and ("token" in request.args)
    )


def _has_metrics_token() -> bool:
    """Nobody's key: it is the operator's word, and opens figures only."""
    wanted = context.core().settings.metrics_token.encode()
    return bool(wanted) and hmac.compare_digest(_bearer().encode(), wanted)


def _by_token() -> apikeys.ApiKey:
    """The key of a stream token, which is used up by this."""
    request, core = flask.request, context.core()
    view = flask.current_app.view_functions.get(request.endpoint or "")
    place = place_of(view, request.path, request.args)
    key = tokens.use(core, request.args["token"], place)
    flask.current_app.extensions[USES].note(key.id)
    return key


def _count_what_leads_nowhere() -> None:
    """Paths that do not exist need no key; one that comes along counts and is told its limit."""
    try:
        limits.check(_known(_bearer()))
    except errors.Unauthorized:
        pass


def _bearer() -> str:
    kind, _, text = flask.request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise errors.Unauthorized("missing API key: send Authorization: Bearer KEY")
    return text.strip()


def _only_this_machine() -> None:
    """Without keys, a page in the operator's browser must not reach this through a name it owns."""
    host = urlsplit(f"//{flask.request.host}").hostname
    origin = flask.request.headers.get("Origin")
    # A page of ours may open WebSockets on the port for these.
    ours = (flask.request.host, f"{host}:{context.core().settings.port}")
    if host not in _LOOPBACK or (origin and origins.place(origin) not in ours):
        raise errors.Forbidden("without keys this server answers only to requests to localhost")
