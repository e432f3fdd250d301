"""The shape of webhooks and their deliveries."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields, validate

from api import paging
from api.strict import Exact, Strict
from knify.services import webhooks

MAX_NAME = 200  # characters


class NewWebhook(Strict):
    """The body of `POST /webhooks`."""

    url = Exact(str, required=True, validate=validate.Length(1, 2048))
    events = Exact(list, of=str, load_default=lambda: list(webhooks.EVENTS))
    secret = Exact(str)
    name = Exact(str, validate=validate.Length(1, MAX_NAME))


class Changes(Strict):
    """The body of `PATCH /webhooks/{id}`: what is left out stays."""

    url = Exact(str, validate=validate.Length(1, 2048))
    events = Exact(list, of=str)
    secret = Exact(str)
    name = Exact(str, validate=validate.Length(1, MAX_NAME))
    active = Exact(bool)


class Webhook(ma.Schema):
    """A webhook, without its secret."""

    webhook_id = fields.String(required=True)
    url = fields.String(required=True)
    events = fields.List(fields.String(), required=True)
    name = fields.String(allow_none=True)
    active = fields.Boolean(required=True)
    created_at = fields.DateTime()
    waiting = fields.Integer(metadata={"description": "deliveries that have not ended"})
    failing_since = fields.DateTime(
        allow_none=True, metadata={"description": "every attempt since then has failed"}
    )
    last_error = fields.String(allow_none=True)
    last_success_at = fields.DateTime(allow_none=True)


class CreatedWebhook(Webhook):
    """A fresh webhook: the only answer that may hold its secret."""

    secret = fields.String(metadata={"description": "when none was given; it is not shown again"})


class DeletedWebhook(ma.Schema):
    """What a deletion answers."""

    success = fields.Boolean(required=True)


class Page(ma.Schema):
    """The query of a list."""

    page = fields.Integer(validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(validate=validate.Range(1, paging.MAX_LIMIT))


class Delivery(ma.Schema):
    """One event for one webhook, and what became of it."""

    delivery_id = fields.String(required=True, metadata={"description": "sent as `webhook-id`"})
    webhook_id = fields.String(required=True)
    type = fields.String(required=True)
    job_id = fields.String(allow_none=True)
    status = fields.String(validate=validate.OneOf(["pending", "sending", "delivered", "failed"]))
    attempts = fields.Integer(required=True)
    created_at = fields.DateTime()
    last_attempt_at = fields.DateTime(allow_none=True)
    next_attempt_at = fields.DateTime(allow_none=True)
    ended_at = fields.DateTime(allow_none=True)
    response_code = fields.Integer(allow_none=True)
    duration_ms = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
