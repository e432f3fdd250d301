"""API keys: `knify_live_<id>_<secret>`. Only a keyed hash of the secret is stored.

A rotation changes the secret and keeps the id, so limits, streams and idempotency go on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from knify import apikeys, clock, errors, ids, units
from knify.core import Core
from knify.services import powers

MODES: Final = ("live", "test")
LONGEST_GRACE: Final = 7 * 86_400  # seconds
_TEXT = re.compile(r"knify_(live|test)_([a-z0-9]{1,64})_([a-z0-9]{1,64})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A fresh key or secret: the only moment in which its text exists."""

    record: apikeys.ApiKey
    text: str


def create(
    core: Core,
    tenant: str,
    *,
    scopes: Sequence[str] = ("read", "write"),
    name: str | None = None,
    tier: str | None = None,
    limit_per_hour: int | None = None,
    expires_at: int | None = None,
    mode: str = "live",
    maker: apikeys.ApiKey | None = None,
    seed: str | None = None,
) -> NewKey:
    """Make a key for a tenant. `maker`: the key that asks; None is the installation itself.

    BadRequest; Forbidden when it would go beyond its maker; TooManyKeys. With the same `seed` it
    is the same key again.
    """
    seed = seed or ids.nonce()
    tier = powers.tier_for(maker, tier, core.settings.default_tier)
    _check(scopes, tier, limit_per_hour, expires_at)
    key_id, secret = _token(core, f"id {seed}", 10), _token(core, f"secret {seed}", 24)
    record = apikeys.ApiKey(
        id=key_id,
        tenant=tenant,
        digest=_digest(core, key_id, secret),
        scopes=tuple(dict.fromkeys(scopes)),
        tier=tier,
        created_at=clock.now_ms(),
        name=name,
        mode=mode,
        windows=powers.windows_for(maker, key_id, tier, limit_per_hour),
        expires_at=expires_at or (maker.expires_at if maker else None),
    )
    powers.check(maker, record, "make")
    return NewKey(core.store.access.add_key(record), _text(record, secret))


def authenticate(core: Core, text: str) -> apikeys.ApiKey:
    """The record of a valid key; its `digest` is that of the secret which came.

    Unauthorized for any other text; StoreEmpty when Redis has lost all keys. What has not the form
    of a key costs nothing, any other is looked up and compared in constant time, whether there is
    such a key or not.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise errors.Unauthorized()
    mode, key_id, secret = match.groups()
    record = core.store.access.find_key(key_id)
    digest = _digest(core, key_id, secret)
    if record is None:
        hmac.compare_digest(digest, "0" * 64)
        raise _refusal(core)
    came = record.evolve(digest=_matched(record, digest))
    if mode != record.mode or not came.digest or not opens(came, record):
        raise _refusal(core)
    return came


def _refusal(core: Core) -> errors.KnifyError:
    """Where nobody has a key any more, no key is to blame."""
    return errors.StoreEmpty() if core.store.access.is_lost() else errors.Unauthorized()


def opens(came: apikeys.ApiKey, record: apikeys.ApiKey | None) -> bool:
    """Whether the secret of `came`, as `authenticate` gave it, is good by the record of now."""
    return record is not None and remaining(came, record) > 0


def remaining(came: apikeys.ApiKey, record: apikeys.ApiKey) -> float:
    """For how many seconds more that secret opens anything, as far as is known by now."""
    if record.revoked_at is not None:
        return 0.0
    if came.digest == record.digest:
        until = [record.expires_at]
    elif came.digest == record.old_digest:
        until = [record.expires_at, record.old_until]
    else:
        return 0.0
    ends = min((ms for ms in until if ms is not None), default=None)
    return math.inf if ends is None else (ends - clock.now_ms()) / 1000


def get(core: Core, tenant: str, key_id: str) -> apikeys.ApiKey:
    """The record; NotFound also for another tenant's key."""
    record = core.store.access.find_key(key_id)
    if record is None or record.tenant != tenant:
        raise errors.NotFound(f"no key {key_id}")
    return record


def rotate(
    core: Core,
    tenant: str,
    key_id: str,
    *,
    grace_seconds: float = 0.0,
    maker: apikeys.ApiKey | None = None,
    seed: str | None = None,
) -> NewKey:
    """A new secret; the old one opens for `grace_seconds` more.

    NotFound, KeyGone, KeyChanged, and Forbidden when the key goes beyond the one that asks.
    """
    record = get(core, tenant, key_id)
    powers.check(maker, record, "rotate")
    secret = _token(core, f"secret {seed or ids.nonce()}", 24)
    digest = _digest(core, key_id, secret)
    rotated = core.store.access.rotate_key(record, digest, grace_ms=int(grace_seconds * 1000))
    return NewKey(rotated, _text(rotated, secret))


def revoke(core: Core, tenant: str, key_id: str, *, force: bool = False) -> None:
    """The key opens nothing from now on; harmless when it is revoked.

    NotFound also for another tenant's key; LastAdminKey without `force`.
    """
    try:
        core.store.access.revoke_key(tenant, key_id, force=force)
    except errors.NotFound:
        raise errors.NotFound(f"no key {key_id}") from None


def _check(
    scopes: Sequence[str], tier: str, limit_per_hour: int | None, expires_at: int | None
) -> None:
    unknown = sorted(set(scopes) - set(powers.SCOPES))
    if unknown or not scopes:
        found = f"unknown scopes {', '.join(unknown)}" if unknown else "a key needs a scope"
        raise _bad("scopes", f"{found}: use {', '.join(powers.SCOPES)}")
    if limit_per_hour is not None and apikeys.TIERS[tier] is not None:
        fixed = f"the tier {tier} has {apikeys.TIERS[tier]} requests an hour"
        raise _bad("limit_per_hour", f"{fixed}: leave it out, or choose the tier enterprise")
    if expires_at is not None and expires_at <= clock.now_ms():
        raise _bad("expires_at", "a key has to expire in the future")
    if expires_at is not None and expires_at > clock.now_ms() + units.LONGEST * 1000:
        raise _bad("expires_at", "a key expires within ten years")


def _bad(field: str, message: str) -> errors.BadRequest:
    return errors.BadRequest(message, detail={"field": field})


def _matched(record: apikeys.ApiKey, digest: str) -> str:
    """Which of the record's digests it is; '' for neither. Both are compared, always."""
    new = hmac.compare_digest(digest, record.digest)
    old = hmac.compare_digest(digest, record.old_digest or "0" * 64)
    return digest if new or (old and record.old_digest is not None) else ""


def _text(record: apikeys.ApiKey, secret: str) -> str:
    return f"knify_{record.mode}_{record.id}_{secret}"


def _digest(core: Core, key_id: str, secret: str) -> str:
    return hmac.new(core.pepper, f"{key_id}:{secret}".encode(), hashlib.sha256).hexdigest()


def _token(core: Core, seed: str, octets: int) -> str:
    """Text without `_`, which parts a key; nobody without the master key can tell it."""
    found = hmac.new(core.pepper, f"api key {seed}".encode(), hashlib.sha256).digest()[:octets]
    return base64.b32encode(found).decode().lower().rstrip("=")
