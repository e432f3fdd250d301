"""What a key may hand on: nothing that goes beyond itself."""

from __future__ import annotations

from typing import Final

from knify import apikeys, errors

SCOPES: Final = ("read", "write", "admin")
MOST_AN_HOUR: Final = 100_000  # every request of an hour is one entry in Redis
#: Limits within limits that one key may stand under.
DEEPEST: Final = 4
OPERATOR: Final = "default"  # the tenant of the first key: its admins run the installation

_IMPLIED: Final = {"admin": set(SCOPES), "write": {"write"}, "read": {"read"}}


def may(record: apikeys.ApiKey, scope: str) -> bool:
    """Whether the key has the scope; admin implies the others."""
    return any(scope in _IMPLIED.get(own, ()) for own in record.scopes)


def runs_all(record: apikeys.ApiKey) -> bool:
    """Whether the key is its installation's operator's."""
    return record.tenant == OPERATOR and may(record, "admin")


def tier_for(maker: apikeys.ApiKey | None, wanted: str | None, default: str) -> str:
    """The new key's tier: what is wanted, else the default, as far as the maker's own goes."""
    if wanted is not None or maker is None:
        return wanted or default
    return min(default, maker.tier, key=_rank)


def windows_for(
    maker: apikeys.ApiKey | None, key_id: str, tier: str, wanted: int | None
) -> tuple[tuple[str, int], ...]:
    """The counts that a new key adds to: its maker's, and its own where that is lower."""
    above = maker.windows if maker else ()
    limit = wanted if wanted is not None else apikeys.TIERS[tier]
    most = maker.limit if maker else None
    if wanted is not None and most is not None and wanted > most:
        raise _above("limit_per_hour", f"its own limit is {most} an hour", "make")
    if limit is None or (most is not None and limit >= most):
        return above
    if len(above) >= DEEPEST:
        raise errors.Forbidden(f"limits stand within limits {DEEPEST} deep at most")
    return (*above, (key_id, limit))


def check(maker: apikeys.ApiKey | None, key: apikeys.ApiKey, verb: str) -> None:
    """Forbidden when `key` could do more than the one that makes or rotates it."""
    if maker is None:
        return
    beyond = [scope for scope in key.scopes if not may(maker, scope)]
    if beyond:
        raise _above("scopes", f"it lacks the scope {beyond[0]}", verb)
    if _rank(key.tier) > _rank(maker.tier):
        raise _above("tier", f"its tier is {maker.tier}", verb)
    if maker.limit is not None and (key.limit is None or key.limit > maker.limit):
        raise _above("limit_per_hour", f"its own limit is {maker.limit} an hour", verb)
    if not {whose for whose, _ in maker.windows} <= {whose for whose, _ in key.windows}:
        raise _above("limit_per_hour", "its requests would not count for that one", verb)
    if maker.expires_at is not None and (key.expires_at or 2**62) > maker.expires_at:
        raise _above("expires_at", "it expires before that one would", verb)


def _rank(tier: str) -> int:
    return list(apikeys.TIERS).index(tier) if tier in apikeys.TIERS else 0


def _above(field: str, why: str, verb: str) -> errors.Forbidden:
    message = f"a key cannot {verb} one that goes beyond itself: {why}"
    return errors.Forbidden(message, detail={"field": field})
