"""An API key as administrators see it: never its hash."""

from __future__ import annotations

from typing import Any

from knify import apikeys, clock


def key(k: apikeys.ApiKey) -> dict[str, Any]:
    """A key, without its text."""
    return {
        "id": k.id,
        "name": k.name,
        "tenant": k.tenant,
        "mode": k.mode,
        "scopes": list(k.scopes),
        "tier": k.tier,
        "limit_per_hour": k.limit,
        "status": _status(k),
        "created_at": clock.rfc3339(k.created_at),
        "expires_at": _time(k.expires_at),
        "last_used_at": _time(k.last_used_at),
        "rotated_at": _time(k.rotated_at),
        "old_secret_until": _time(k.old_until),
        "revoked_at": _time(k.revoked_at),
    }


def _status(k: apikeys.ApiKey) -> str:
    if k.revoked_at is not None:
        return "revoked"
    return "expired" if k.expires_at is not None and k.expires_at <= clock.now_ms() else "active"


def _time(ms: int | None) -> str | None:
    return None if ms is None else clock.rfc3339(ms)
