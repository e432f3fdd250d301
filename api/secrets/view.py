"""A secret as its owner sees it: never the value."""

from __future__ import annotations

from typing import Any

from knify import clock
from knify.store import secrets


def secret(kept: secrets.Kept) -> dict[str, Any]:
    """Its name and dates."""
    return {
        "name": kept.name,
        "created_at": clock.rfc3339(kept.created_at),
        "updated_at": clock.rfc3339(kept.updated_at),
    }
