"""Webhooks: what the server tells others by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def create_webhook(
    url: str,
    events: Sequence[str] | None = None,
    secret: str | None = None,
    name: str | None = None,
    idempotency_key: str | None = None,
) -> Call[records.Webhook]:
    """Tell `url` of events such as `job.completed`; of all without `events`.

    Without a secret of your own the server makes one, which is in this answer only.
    """
    chosen = None if events is None else list(events)
    body = {"url": url, "events": chosen, "secret": secret, "name": name}
    return base.create("/webhooks", answers.one(records.Webhook), body, idempotency_key)


def list_webhooks() -> Call[list[records.Webhook]]:
    """All webhooks, without their secrets."""
    return base.get("/webhooks", answers.many(records.Webhook, "webhooks"))


def webhook(webhook_id: str) -> Call[records.Webhook]:
    """One webhook, and since when its attempts fail."""
    return base.get(base.path("webhooks", webhook_id), answers.one(records.Webhook))


def change_webhook(
    webhook_id: str,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    secret: str | None = None,
    name: str | None = None,
    active: bool | None = None,
) -> Call[records.Webhook]:
    """Change what is given. With `active=False` it is told nothing until it is active again."""
    given: dict[str, Any] = {"url": url, "secret": secret, "name": name, "active": active}
    given["events"] = None if events is None else list(events)
    body = {key: value for key, value in given.items() if value is not None}
    path = base.path("webhooks", webhook_id)
    return Call("PATCH", path, answers.one(records.Webhook), body=body, harmless=True)


def delete_webhook(webhook_id: str) -> Call[None]:
    """Tell it nothing any more."""
    return base.delete(base.path("webhooks", webhook_id), base.nothing)


def test_webhook(webhook_id: str, idempotency_key: str | None = None) -> Call[records.Delivery]:
    """Send it an event of no job."""
    path = base.path("webhooks", webhook_id, "test")
    return base.create(path, answers.one(records.Delivery), {}, idempotency_key)


def deliveries(
    webhook_id: str, *, page: int | None = None, limit: int | None = None
) -> Call[list[records.Delivery]]:
    """What waits for it and what was sent, newest first, and how that went."""
    path = base.path("webhooks", webhook_id, "deliveries")
    parse = answers.many(records.Delivery, "deliveries")
    return base.get(path, parse, page=page, limit=limit)


def redeliver(webhook_id: str, delivery_id: str) -> Call[records.Delivery]:
    """Send a delivery once more, the same bytes; harmless while it still waits."""
    path = base.path("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")
    return base.do(path, answers.one(records.Delivery))
