"""Webhooks: whom Knify tells of the tenant's jobs."""

from __future__ import annotations

from typing import Any

import flask

from api import context, idempotency, paging
from api.smorest import Blueprint
from api.webhooks import schemas, view
from knify import receivers
from knify.services import webhooks

blp = Blueprint("webhooks", __name__, description="Webhooks")


def _shown(*found: receivers.Webhook) -> list[dict[str, Any]]:
    waiting = context.core().store.webhooks.waiting([one.id for one in found])
    return [view.webhook(one, count) for one, count in zip(found, waiting, strict=True)]


@blp.route("/webhooks", methods=["POST"])
@blp.needs("write")
@idempotency.replays
@blp.arguments(schemas.NewWebhook)
@blp.response(200, schemas.CreatedWebhook)
def create_webhook(body: dict[str, Any]) -> flask.Response:
    """Register a receiver; a secret that is made here is shown this once."""
    core, tenant = context.core(), context.tenant()
    made = webhooks.create(core, tenant, **body, id=idempotency.new_id("webhook"))
    secret = {} if made.secret is None else {"secret": made.secret}
    return flask.jsonify(_shown(made.record)[0] | secret)


@blp.route("/webhooks")
@blp.needs("read")
@blp.response(200, schemas.Webhook(many=True))
def list_webhooks() -> flask.Response:
    """The tenant's webhooks, oldest first; there are 20 at most."""
    return flask.jsonify(_shown(*context.core().store.webhooks.of_tenant(context.tenant())))


@blp.route("/webhooks/<webhook_id>")
@blp.needs("read")
@blp.response(200, schemas.Webhook)
def show_webhook(webhook_id: str) -> flask.Response:
    """One webhook, and since when its attempts fail."""
    found = webhooks.get(context.core(), context.tenant(), webhook_id)
    return flask.jsonify(_shown(found)[0])


@blp.route("/webhooks/<webhook_id>", methods=["PATCH"])
@blp.needs("write")
@blp.arguments(schemas.Changes)
@blp.response(200, schemas.Webhook)
def change_webhook(body: dict[str, Any], webhook_id: str) -> flask.Response:
    """Change some fields. Switched off, what waits for it ends as failed."""
    changed = webhooks.change(context.core(), context.tenant(), webhook_id, body)
    return flask.jsonify(_shown(changed)[0])


@blp.route("/webhooks/<webhook_id>", methods=["DELETE"])
@blp.needs("write")
@blp.response(200, schemas.DeletedWebhook)
def delete_webhook(webhook_id: str) -> flask.Response:
    """It hears of nothing any more; its history goes, too."""
    webhooks.delete(context.core(), context.tenant(), webhook_id)
    return flask.jsonify({"success": True})


@blp.route("/webhooks/<webhook_id>/test", methods=["POST"])
@blp.needs("write")
@idempotency.replays
@blp.response(200, schemas.Delivery)
def test_webhook(webhook_id: str) -> flask.Response:
    """Send it an event `webhook.test` of no job; its delivery says what became of it."""
    new = idempotency.new_id("test")
    found = webhooks.test(context.core(), context.tenant(), webhook_id, id=new)
    return flask.jsonify(view.delivery(webhook_id, found))


@blp.route("/webhooks/<webhook_id>/deliveries")
@blp.needs("read")
@blp.arguments(schemas.Page, location="query")
@blp.response(200, schemas.Delivery(many=True))
def list_deliveries(query: dict[str, Any], webhook_id: str) -> flask.Response:
    """What waits for it, and the 200 deliveries that ended last; newest first."""
    window = paging.window(query.get("page"), query.get("limit"))
    found, total = webhooks.deliveries(
        context.core(), context.tenant(), webhook_id, offset=window.offset, limit=window.limit
    )
    return paging.respond([view.delivery(webhook_id, one) for one in found], total, window)


@blp.route("/webhooks/<webhook_id>/deliveries/<delivery_id>/redeliver", methods=["POST"])
@blp.needs("write")
@blp.response(200, schemas.Delivery)
def redeliver(webhook_id: str, delivery_id: str) -> flask.Response:
    """Send it again: the same bytes under the same `webhook-id`."""
    found = webhooks.redeliver(context.core(), context.tenant(), webhook_id, delivery_id)
    return flask.jsonify(view.delivery(webhook_id, found))
