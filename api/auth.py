"""Who is asking, and whether they may: API keys in the Authorization header, nowhere else."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import flask

from api import context
from knify import errors, model
from knify.core import Core
from knify.services import keys

CACHE_SECONDS = 5.0  # a revoked key may open things that much longer
CACHE_SIZE = 10_000  # keys; far more than a process sees
PUBLIC: Final = "public"

_SCOPE = "knify_scope"
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_EVERYBODY = model.ApiKey(
    id="none", tenant="default", digest="", scopes=("admin",), tier="enterprise", created_at=0
)
View = TypeVar("View", bound=Callable[..., Any])


def needs(scope: str) -> Callable[[View], View]:
    """Mark a handler with the scope that its key must have, or PUBLIC."""

    def mark(view: View) -> View:
        setattr(view, _SCOPE, scope)
        return view

    return mark


def scope_of(view: Any) -> str | None:
    """The mark that `needs` left."""
    return getattr(view, _SCOPE, None)


class Cache:
    """Keys that were valid a moment ago, by the hash of their text: no round trip for these."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[bytes, tuple[float, model.ApiKey]] = {}

    def authenticate(self, core: Core, text: str) -> model.ApiKey:
        """As `keys.authenticate`; Unauthorized is never remembered."""
        name = hashlib.sha256(text.encode()).digest()
        now = self._clock()
        until, record = self._known.get(name, (0.0, _EVERYBODY))
        if until > now:
            return record
        record = keys.authenticate(core, text)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[name] = (now + CACHE_SECONDS, record)
        return record

    def forget(self, key_id: str) -> None:
        """Ask Redis about this key from now on."""
        self._known = {name: row for name, row in self._known.items() if row[1].id != key_id}


def check() -> None:
    """Set `g.key`, or raise Unauthorized or Forbidden, before the handler runs."""
    app = flask.current_app
    if app.config["NO_AUTH"]:
        _only_this_machine()
        flask.g.key = _EVERYBODY
        return
    scope = scope_of(app.view_functions.get(flask.request.endpoint or ""))
    if scope == PUBLIC or flask.request.routing_exception is not None:
        return
    flask.g.key = app.extensions["knify.keys"].authenticate(context.core(), _bearer())
    if scope is None or not keys.may(flask.g.key, scope):
        raise errors.Forbidden(f"this needs a key with the scope {scope}")


def still_valid(core: Core, key: model.ApiKey) -> bool:
    """Whether a stream that this key opened may go on."""
    if key is _EVERYBODY:
        return True
    record = core.store.registry.find_key(key.id)
    return record is not None and record.revoked_at is None


def _bearer() -> str:
    kind, _, text = flask.request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise errors.Unauthorized("missing API key: send Authorization: Bearer KEY")
    return text.strip()


def _only_this_machine() -> None:
    """Without keys, a page in the operator's browser must not reach this through a name it owns."""
    host = urlsplit(f"//{flask.request.host}").hostname
    origin = flask.request.headers.get("Origin")
    if host not in _LOOPBACK or (origin and urlsplit(origin).netloc != flask.request.host):
        raise errors.Forbidden("without keys this server answers only to requests to localhost")
