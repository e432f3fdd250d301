"""Sessions of browsers, for the console: a signed cookie that names a key, and never its text.

The cookie is Flask's own: signed, HttpOnly, SameSite=Strict, of `/console` only. It opens what its
key opens, as long as that key's secret is good: a revoked or rotated key ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any, Final

import flask
from flask.sessions import SecureCookieSessionInterface, SessionMixin

from api import origins
from knify import apikeys, errors
from knify.core import Core
from knify.services import keys

HOURS: Final = 12  # without any request, after which one signs in again
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"
_QUIET: Final = "knify_no_cookie"
_FIELDS: Final = 500  # of a form
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_KEY, _MARK, _CSRF, _NAME = "key", "mark", "csrf", "name"


class Interface(SecureCookieSessionInterface):
    """Flask's own, with SHA-256, and `Secure` wherever the request was."""

    salt = "knify console"
    digest_method = staticmethod(hashlib.sha256)

    def get_cookie_secure(self, app: flask.Flask) -> bool:
        """See Flask."""
        return flask.request.is_secure

    def should_set_cookie(self, app: flask.Flask, session: SessionMixin) -> bool:
        """See Flask. Never beside what caches may keep and give to others."""
        if flask.g.get(_QUIET, False):
            return False
        return super().should_set_cookie(app, session)


def config(core: Core) -> dict[str, Any]:
    """Flask's settings for the cookie."""
    return {
        "SECRET_KEY": hmac.new(core.pepper, b"console sessions", hashlib.sha256).digest(),
        "SESSION_COOKIE_NAME": "knify_session",
        "SESSION_COOKIE_PATH": "/console",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "PERMANENT_SESSION_LIFETIME": timedelta(hours=HOURS),
    }


def begin(core: Core, text: str) -> apikeys.ApiKey:
    """Sign in with a key's text. Unauthorized; whoever was signed in before is no more."""
    record = keys.authenticate(core, text)
    flask.session.clear()
    flask.session.permanent = True
    name = secrets.token_hex(16)
    flask.session.update({_KEY: record.id, _MARK: _mark(record.digest), _NAME: name})
    csrf()  # now, so that two pages that load at once do not each make one
    return record


def end(core: Core) -> None:
    """Sign out: copies of the cookie open nothing any more, either."""
    name = flask.session.get(_NAME)
    if isinstance(name, str):
        core.store.access.end_session(name, seconds=HOURS * 3600)
    flask.session.clear()


def set_no_cookie() -> None:
    """This answer is for everybody: caches keep it."""
    setattr(flask.g, _QUIET, True)


def key(core: Core) -> apikeys.ApiKey:
    """The key that this browser is signed in with. Unauthorized without one that is good."""
    came, name = flask.session.get(_KEY), flask.session.get(_NAME)
    record = None
    if isinstance(came, str) and isinstance(name, str):
        record = core.store.access.find_session(name, came)
    if record is not None:
        for digest in (record.digest, record.old_digest):
            if digest and hmac.compare_digest(_mark(digest), str(flask.session.get(_MARK))):
                found = record.evolve(digest=digest)
                if keys.opens(found, record):
                    return found
    raise errors.Unauthorized("sign in to go on")


def csrf() -> str:
    """What forms of this session's pages send along."""
    if _CSRF not in flask.session:
        flask.session[_CSRF] = secrets.token_hex(16)
    return str(flask.session[_CSRF])


def check_origin() -> None:
    """Forbidden when another site's page sent this request."""
    headers = flask.request.headers
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site", "same-origin")
    if site not in ("same-origin", "none") or (
        origin is not None and origins.place(origin) != flask.request.host
    ):
        raise errors.Forbidden("this came from a page of another site")


def check_csrf() -> None:
    """Forbidden when what changes anything was not sent by a page of this session."""
    if flask.request.method in _SAFE:
        return
    check_origin()
    _check_form()
    check_token(flask.request.headers.get(CSRF_HEADER) or flask.request.form.get(CSRF_FIELD, ""))


def _check_form() -> None:
    """BadRequest for one of very many fields: taking it apart would make other requests wait."""
    request = flask.request
    is_one = request.mimetype == "application/x-www-form-urlencoded"
    if is_one and request.get_data(cache=True).count(b"&") >= _FIELDS:
        raise errors.BadRequest(f"this form has more than {_FIELDS} fields: leave some out")


def check_token(sent: str) -> None:
    """Forbidden for what is not the word of this session's pages."""
    if not hmac.compare_digest(sent.encode(), csrf().encode()):
        raise errors.Forbidden("this page is too old: load it again, then repeat what you did")


def _mark(digest: str) -> str:
    """Which secret it was: of the keyed hash that the record has, another hash."""
    return hashlib.sha256(f"session {digest}".encode()).hexdigest()[:32]
