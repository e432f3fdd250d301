"""API keys: `knify_live_<id>_<secret>`. Only a keyed hash of the secret is stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from knify import clock, errors, model
from knify.core import Core

SCOPES: Final = ("read", "write", "admin")
_IMPLIED: Final = {"admin": set(SCOPES), "write": {"write"}, "read": {"read"}}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key: the only moment in which its text exists."""

    record: model.ApiKey
    text: str


def create(
    core: Core,
    tenant: str,
    *,
    scopes: tuple[str, ...] = ("read", "write"),
    name: str | None = None,
    tier: str | None = None,
) -> NewKey:
    """Make a key for a tenant. Raises BadRequest for unknown scopes."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise errors.BadRequest(
            f"unknown scopes {unknown}: use {', '.join(SCOPES)}", detail={"field": "scopes"}
        )
    key_id, secret = _token(10), _token(24)
    record = model.ApiKey(
        id=key_id,
        tenant=tenant,
        digest=_digest(core, key_id, secret),
        scopes=tuple(scopes),
        tier=tier or core.settings.default_tier,
        created_at=clock.now_ms(),
        name=name,
    )
    core.store.registry.add_key(record)
    return NewKey(record, f"knify_live_{key_id}_{secret}")


def authenticate(core: Core, text: str) -> model.ApiKey:
    """The record of a valid key. Unauthorized for any other text, after the same work."""
    parts = text.split("_")
    key_id, secret = (
        (parts[2], parts[3]) if len(parts) == 4 and parts[:2] == ["knify", "live"] else ("", "")
    )
    record = core.store.registry.find_key(key_id) if 0 < len(key_id) <= 64 else None
    digest = _digest(core, key_id, secret)
    expected = record.digest if record else "0" * 64
    if not hmac.compare_digest(digest, expected) or record is None or record.revoked_at is not None:
        raise errors.Unauthorized()
    return record


def may(record: model.ApiKey, scope: str) -> bool:
    """Whether the key has the scope; admin implies the others."""
    return any(scope in _IMPLIED.get(own, ()) for own in record.scopes)


def revoke(core: Core, tenant: str, key_id: str) -> None:
    """The key opens nothing from now on. NotFound also for another tenant's key."""
    record = core.store.registry.find_key(key_id)
    if record is None or record.tenant != tenant:
        raise errors.NotFound(f"no key {key_id}")
    core.store.registry.revoke_key(key_id, clock.now_ms())


def _digest(core: Core, key_id: str, secret: str) -> str:
    return hmac.new(core.pepper, f"{key_id}:{secret}".encode(), hashlib.sha256).hexdigest()


def _token(octets: int) -> str:
    """Random text without `_`, which parts a key."""
    return base64.b32encode(secrets.token_bytes(octets)).decode().lower().rstrip("=")
