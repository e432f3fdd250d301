"""Webhooks and deliveries as their owner sees them: never the secret."""

from __future__ import annotations

from typing import Any

from knify import clock, receivers


def webhook(w: receivers.Webhook, waiting: int) -> dict[str, Any]:
    """A webhook; `waiting`: deliveries that have not ended."""
    return {
        "webhook_id": w.id,
        "url": w.url,
        "events": list(w.events),
        "name": w.name,
        "active": w.active,
        "created_at": clock.rfc3339(w.created_at),
        "waiting": waiting,
        "failing_since": _time(w.failing_since),
        "last_error": w.last_error,
        "last_success_at": _time(w.last_success_at),
    }


def delivery(webhook_id: str, d: receivers.Delivery) -> dict[str, Any]:
    """A delivery, without what was sent."""
    return {
        "delivery_id": d.id,
        "webhook_id": webhook_id,
        "type": d.type,
        "job_id": d.job,
        "status": d.status,
        "attempts": d.attempts,
        "created_at": clock.rfc3339(d.created_at),
        "last_attempt_at": _time(d.last_at),
        "next_attempt_at": _time(d.next_at),
        "ended_at": _time(d.ended_at),
        "response_code": d.code,
        "duration_ms": d.ms,
        "error": d.error,
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else clock.rfc3339(ms)
