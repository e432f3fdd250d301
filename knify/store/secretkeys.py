"""Names of the keys of secrets; `keys.py` says what each holds."""

from __future__ import annotations

from knify.store.keys import PREFIX


def secrets(tenant: str) -> str:
    """When each of a tenant's was kept."""
    return f"{PREFIX}t:{tenant}:secrets"


def sealed(tenant: str) -> str:
    """Their values."""
    return f"{PREFIX}t:{tenant}:secrets:sealed"
