"""An API key as administrators see it: never its hash."""

from __future__ import annotations

from typing import Any

from knify import clock, model


def key(k: model.ApiKey) -> dict[str, Any]:
    """A key, without its text."""
    return {
        "id": k.id,
        "name": k.name,
        "scopes": list(k.scopes),
        "tier": k.tier,
        "created_at": clock.rfc3339(k.created_at),
        "revoked_at": None if k.revoked_at is None else clock.rfc3339(k.revoked_at),
    }
