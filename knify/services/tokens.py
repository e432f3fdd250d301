"""Stream tokens: each opens one stream, once, within a minute, for clients without headers.

A token is as good as the key that asked for it, so long as that one opens anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from knify import apikeys, clock, errors, ids
from knify.core import Core
from knify.services import keys

SECONDS: Final = 60
PREFIX: Final = "knify_stream_"


@dataclass(frozen=True, slots=True)
class Token:
    """A fresh token: the only moment in which its text exists."""

    text: str
    expires_at: int  # ms since the epoch


def create(core: Core, key: apikeys.ApiKey, path: str, *, seed: str | None = None) -> Token:
    """A token for one stream. `key`: as it came, see `keys.authenticate`."""
    secret = hmac.new(core.pepper, f"stream token {seed or ids.nonce()}".encode(), hashlib.sha256)
    text = PREFIX + base64.b32encode(secret.digest()).decode().lower().rstrip("=")
    facts = {"key": key.id, "digest": key.digest, "path": path}
    core.store.access.add_token(_name(text), facts, seconds=SECONDS)
    return Token(text, clock.now_ms() + SECONDS * 1000)


def use(core: Core, text: str, path: str) -> apikeys.ApiKey:
    """The key behind a token that is good for this path; the token is none any more.

    Unauthorized for any other text, for another path, and when the key opens nothing any more.
    """
    name = _name(text)
    facts = core.store.access.find_token(name) if text.startswith(PREFIX) else None
    if facts is None or facts["path"] != path or not core.store.access.take_token(name):
        raise errors.Unauthorized("this stream token is not valid: ask for a new one")
    record = core.store.access.find_key(facts["key"])
    came = record and record.evolve(digest=facts["digest"])
    if came is None or not keys.opens(came, record):
        raise errors.Unauthorized()
    return came


def _name(text: str) -> str:
    """Only this is stored; it is looked up as a whole, so there is nothing to compare."""
    return hashlib.sha256(text.encode()).hexdigest()
