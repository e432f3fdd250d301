"""Webhooks: what the server tells others by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def create_webhook(
    url: str, events: Sequence[str], secret: str | None = None, idempotency_key: str | None = None
) -> Call[records.Webhook]:
    """Tell `url` of events such as `job.completed`."""
    body = {"url": url, "events": list(events), "secret": secret}
    return base.create("/webhooks", answers.one(records.Webhook), body, idempotency_key)


def list_webhooks() -> Call[list[records.Webhook]]:
    """All webhooks, without their secrets."""
    return base.get("/webhooks", answers.many(records.Webhook, "webhooks"))


def delete_webhook(webhook_id: str) -> Call[None]:
    """Tell it nothing any more."""
    return base.delete(base.path("webhooks", webhook_id), base.nothing)


def test_webhook(webhook_id: str, idempotency_key: str | None = None) -> Call[dict[str, Any]]:
    """Send it a delivery that means nothing."""
    path = base.path("webhooks", webhook_id, "test")
    return base.create(path, base.record, {}, idempotency_key)


def deliveries(webhook_id: str) -> Call[list[records.Delivery]]:
    """What was sent to it, and how that went."""
    path = base.path("webhooks", webhook_id, "deliveries")
    return base.get(path, answers.many(records.Delivery, "deliveries"))


def redeliver(
    webhook_id: str, delivery_id: str, idempotency_key: str | None = None
) -> Call[dict[str, Any]]:
    """Send a delivery once more."""
    path = base.path("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")
    return base.create(path, base.record, {}, idempotency_key)
