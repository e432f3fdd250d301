"""Use cases on webhooks: register, change, delete, test, deliver again."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knify import clock, egress, errors, ids, receivers
from knify.core import Core
from knify.services import messages

EVENTS: Final = tuple(messages.STATUS)
TEST: Final = "webhook.test"
_SWITCHED_OFF = "given up: the webhook was switched off"


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A fresh webhook; `secret` only when it was made here: the one moment in which it is shown."""

    record: receivers.Webhook
    secret: str | None


def create(
    core: Core,
    tenant: str,
    *,
    url: str,
    events: Sequence[str],
    secret: str | None = None,
    name: str | None = None,
    id: str | None = None,
) -> NewWebhook:
    """Register a receiver. Raises BadRequest, EgressRefused, WebhookLimit.

    With an `id` it may be done twice, with the same result.
    """
    _check(core, {"url": url, "events": events, "secret": secret})
    new = id or ids.new("webhook")
    made = secret or _secret(core, new)
    record = receivers.Webhook(
        id=new,
        tenant=tenant,
        url=url,
        events=tuple(dict.fromkeys(events)),
        secret=core.sealed.seal(made),
        created_at=clock.now_ms(),
        name=name,
    )
    return NewWebhook(core.store.webhooks.add(record), None if secret else made)


def change(
    core: Core, tenant: str, webhook_id: str, fields: Mapping[str, Any]
) -> receivers.Webhook:
    """Change url, events, secret, name or active. NotFound and what `create` raises."""
    get(core, tenant, webhook_id)
    _check(core, fields)
    changed = dict(fields)
    if "events" in changed:
        changed["events"] = tuple(dict.fromkeys(changed["events"]))
    if "secret" in changed:
        changed["secret"] = core.sealed.seal(changed["secret"])
    return core.store.webhooks.change(webhook_id, changed, _SWITCHED_OFF)


def get(core: Core, tenant: str, webhook_id: str) -> receivers.Webhook:
    """The record; NotFound also when another tenant owns it."""
    found = core.store.webhooks.find(webhook_id)
    if found is None or found.tenant != tenant:
        raise errors.NotFound(f"no webhook {webhook_id}")
    return found


def delete(core: Core, tenant: str, webhook_id: str) -> None:
    """It hears of nothing any more, and what waited for it is gone."""
    get(core, tenant, webhook_id)
    core.store.webhooks.drop(webhook_id)


def test(core: Core, tenant: str, webhook_id: str, *, id: str | None = None) -> receivers.Delivery:
    """Send it an event of no job, soon. With an `id`, once. NotFound, WebhookInactive."""
    get(core, tenant, webhook_id)
    return core.store.webhooks.test(webhook_id, f"evt_{id or ids.new('test')}", TEST)


def deliveries(
    core: Core, tenant: str, webhook_id: str, *, offset: int, limit: int
) -> tuple[list[receivers.Delivery], int]:
    """Some of what was or is to be delivered, newest first, and how many there are."""
    get(core, tenant, webhook_id)
    return core.store.webhooks.deliveries(webhook_id, offset=offset, limit=limit)


def redeliver(core: Core, tenant: str, webhook_id: str, delivery_id: str) -> receivers.Delivery:
    """Send it again, the same bytes under the same id. NotFound, WebhookInactive."""
    get(core, tenant, webhook_id)
    core.store.webhooks.delivery(webhook_id, delivery_id)
    return core.store.webhooks.redeliver(webhook_id, delivery_id)


def _secret(core: Core, webhook_id: str) -> str:
    """256 bits that follow from the id, so that a repeated request gets the same ones."""
    key = hmac.new(core.pepper, f"webhook {webhook_id}".encode(), hashlib.sha256).digest()
    return messages.PREFIX + base64.b64encode(key).decode()


def _check(core: Core, fields: Mapping[str, Any]) -> None:
    if fields.get("url") is not None:
        _check_url(core, fields["url"])
    if fields.get("secret") is not None:
        messages.check_secret(fields["secret"])
    if "events" not in fields:
        return
    unknown = [event for event in fields["events"] if event not in EVENTS]
    if unknown or not fields["events"]:
        what = f"unknown event {unknown[0][:100]!r}" if unknown else "is empty"
        raise errors.BadRequest(
            f"events: {what}: use {', '.join(EVENTS)}", detail={"field": "events"}
        )


def _check_url(core: Core, url: str) -> None:
    """As far as the URL says it. Names are resolved, and checked, at each attempt only.

    Somebody's name server that hangs would else hold threads of the API, and its answer could
    change right after it.
    """
    try:
        egress.allow(egress.parse(url), private=core.settings.webhook_allow_private)
    except errors.EgressRefused as refused:
        raise errors.EgressRefused(f"url: {refused.message}", detail={"field": "url"}) from refused
