"""Names of the keys of webhooks; `keys.py` says what each holds."""

from __future__ import annotations

from knify.store.keys import PREFIX


def webhook(webhook_id: str) -> str:
    """The record of a webhook; its lists begin with the same."""
    return f"{PREFIX}h:{webhook_id}"


def delivery(webhook_id: str, delivery_id: str) -> str:
    """The record of one event for one webhook."""
    return f"{PREFIX}h:{webhook_id}:d:{delivery_id}"


def webhooks(tenant: str) -> str:
    """The ids of a tenant's webhooks."""
    return f"{PREFIX}t:{tenant}:webhooks"
