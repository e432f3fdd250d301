"""Webhooks and their outboxes in Redis; `lua/webhooks.lua` says which keys there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knify import errors, receivers
from knify.store import codec, hookkeys
from knify.store.redis import Client, Scripts, changes, pairs

#: So many a tenant may have: each costs every change of its jobs a little.
MOST = 20


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is to be tried now, by whoever has the token."""

    webhook: str  # its id
    url: str
    secret: str  # sealed
    is_ill: bool  # its attempts fail, so it shares a part of all
    delivery: receivers.Delivery


@dataclass(frozen=True, slots=True)
class Work:
    """The answer to a claim."""

    claimed: list[Claimed]
    wait_ms: int | None  # until there is more to do; None: nothing waits for what was asked


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an attempt."""

    body: str  # that was sent
    ms: int
    code: int | None = None
    error: str = ""  # empty: it was delivered
    gives_way: bool = False  # the job's next event need not wait for this one


class Webhooks:
    """All that can be done to webhooks and their deliveries."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def add(self, webhook: receivers.Webhook) -> receivers.Webhook:
        """Keep a new one. Raises WebhookLimit."""
        fields = _fields(webhook)
        return _webhook(pairs(self._scripts.call("add_webhook", webhook.id, changes(fields), MOST)))

    def change(self, webhook_id: str, fields: Mapping[str, Any], reason: str) -> receivers.Webhook:
        """Change some fields. Switched off, its deliveries end for this `reason`. NotFound."""
        texts = {name: _text(name, value) for name, value in fields.items()}
        return _webhook(
            pairs(self._scripts.call("change_webhook", webhook_id, changes(texts), reason))
        )

    def drop(self, webhook_id: str) -> bool:
        """Delete it with all that it has; False when there is none."""
        return bool(self._scripts.call("drop_webhook", webhook_id) == "ok")

    def find(self, webhook_id: str) -> receivers.Webhook | None:
        """The record, or None."""
        fields = self._client.hgetall(hookkeys.webhook(webhook_id))
        return _webhook(fields) if fields else None

    def of_tenant(self, tenant: str) -> list[receivers.Webhook]:
        """A tenant's webhooks, oldest first."""
        found = [self.find(one) for one in self._client.smembers(hookkeys.webhooks(tenant))]
        return sorted((one for one in found if one), key=lambda one: one.id)

    def waiting(self, webhook_ids: list[str]) -> list[int]:
        """How many deliveries of each have not ended."""
        pipe = self._client.pipeline(transaction=False)
        for one in webhook_ids:
            pipe.zcard(hookkeys.webhook(one) + ":waiting")
        return [int(count) for count in pipe.execute()] if webhook_ids else []

    # Deliveries

    def test(self, webhook_id: str, delivery_id: str, kind: str) -> receivers.Delivery:
        """Put an event of no job into the outbox. NotFound, WebhookInactive."""
        found = self._scripts.call("test_webhook", webhook_id, delivery_id, kind)
        return _delivery(pairs(found))

    def redeliver(self, webhook_id: str, delivery_id: str) -> receivers.Delivery:
        """Try one again now, as if it were new. NotFound, WebhookInactive."""
        return _delivery(pairs(self._scripts.call("redeliver", webhook_id, delivery_id)))

    def deliveries(
        self, webhook_id: str, *, offset: int, limit: int
    ) -> tuple[list[receivers.Delivery], int]:
        """Some of them, newest first, and how many there are."""
        index = hookkeys.webhook(webhook_id) + ":all"
        found = self._client.zrevrange(index, offset, offset + limit - 1)
        pipe = self._client.pipeline(transaction=False)
        for one in found:
            pipe.hgetall(hookkeys.delivery(webhook_id, one))
        pipe.zcard(index)
        *rows, total = pipe.execute()
        return [_delivery(row) for row in rows if row], int(total)

    def delivery(self, webhook_id: str, delivery_id: str) -> receivers.Delivery:
        """One. NotFound."""
        fields = self._client.hgetall(hookkeys.delivery(webhook_id, delivery_id))
        if not fields:
            raise errors.NotFound(f"no delivery {delivery_id}")
        return _delivery(fields)

    def claim(self, well: int, ill: int, *, lease_ms: int, token: str) -> Work:
        """Take deliveries whose time has come, for `lease_ms`.

        At most `well` for webhooks that take what they get, and `ill` for those that do not.
        """
        wait, *rows = self._scripts.call("claim_deliveries", well, ill, lease_ms, token)
        claimed = [Claimed(w, url, s, bool(i), _delivery(pairs(d))) for w, url, s, i, d in rows]
        return Work(claimed, int(wait) if wait else None)

    def end(
        self, claimed: Claimed, token: str, result: Result, *, delay_ms: int, limit_ms: int
    ) -> str:
        """Say what became of an attempt: delivered, again, failed; gone: it was taken away.

        A failed one is tried again after `delay_ms`, but not later than `limit_ms` after the first.
        """
        return str(
            self._scripts.call(
                "end_delivery",
                claimed.webhook,
                claimed.delivery.id,
                token,
                "" if result.code is None else result.code,
                result.ms,
                result.error,
                delay_ms,
                limit_ms,
                "1" if result.gives_way else "",
                result.body,
            )
        )


def _text(name: str, value: Any) -> str | None:
    """One field as the hash holds it."""
    if name == "active":
        return "1" if value else ""
    if name == "events":
        return "," + ",".join(value) + ","  # so that a script finds one by its commas
    return codec.dump(value)


def _fields(w: receivers.Webhook) -> dict[str, str | None]:
    names = ("id", "tenant", "url", "events", "secret", "name", "active")
    fields = {name: _text(name, getattr(w, name)) for name in names}
    return {name: value for name, value in fields.items() if value is not None}


def _webhook(fields: Mapping[str, str]) -> receivers.Webhook:
    return receivers.Webhook(
        id=fields["id"],
        tenant=fields["tenant"],
        url=fields["url"],
        events=tuple(fields["events"].strip(",").split(",")),
        secret=fields["secret"],
        created_at=int(fields["created_at"]),
        name=fields.get("name"),
        active=fields["active"] == "1",
        failures=int(fields.get("failures", "0")),
        failing_since=_number(fields, "failing_since"),
        last_error=fields.get("last_error"),
        last_success_at=_number(fields, "last_success_at"),
    )


def _delivery(fields: Mapping[str, str]) -> receivers.Delivery:
    return receivers.Delivery(
        id=fields["id"],
        type=fields["type"],
        job=fields["job"] or None,
        status=fields["status"],
        created_at=int(fields["created_at"]),
        attempts=int(fields.get("attempts", "0")),
        tries=int(fields.get("tries", "0")),
        last_at=_number(fields, "last_at"),
        next_at=_number(fields, "next_at"),
        code=_number(fields, "code"),
        ms=_number(fields, "ms"),
        error=fields.get("error") or None,
        ended_at=_number(fields, "ended_at"),
        event=fields.get("event"),
        body=fields.get("body"),
    )


def _number(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name)
    return int(text) if text else None
