"""One webhook, and what became of each of its deliveries."""

from __future__ import annotations

from typing import Final

import flask

from api import context
from api import errors as api_errors
from api.console import blueprint, forms
from knify import errors
from knify.services import webhooks

LIMIT: Final = 30
_LIST: Final = "/console/webhooks"


@blueprint.page("/webhooks/<webhook_id>")
def get_webhook(webhook_id: str) -> flask.Response:
    """What it is told of, how that goes, and its deliveries, newest first."""
    return _page(webhook_id)


@blueprint.page("/webhooks/<webhook_id>/test", needs="write", methods=["POST"])
def post_webhook_test(webhook_id: str) -> flask.Response:
    """Send it an event of no job."""
    try:
        webhooks.test(context.core(), context.tenant(), webhook_id)
    except errors.Conflict as refused:
        return _page(webhook_id, refused)
    return blueprint.go(f"{_LIST}/{webhook_id}", "A test is on its way; its delivery is below.")


@blueprint.page("/webhooks/<webhook_id>/active", needs="write", methods=["POST"])
def post_webhook_active(webhook_id: str) -> flask.Response:
    """Switch it off, which ends what waits for it, or on again."""
    on = flask.request.form.get("active") == "yes"
    webhooks.change(context.core(), context.tenant(), webhook_id, {"active": on})
    notice = "It is told of jobs again." if on else "It is told of nothing until it is resumed."
    return blueprint.go(f"{_LIST}/{webhook_id}", notice)


@blueprint.page("/webhooks/<webhook_id>/delete", needs="write", methods=["POST"])
def post_webhook_delete(webhook_id: str) -> flask.Response:
    """It hears of nothing any more; its history goes, too."""
    webhooks.delete(context.core(), context.tenant(), webhook_id)
    return blueprint.go(_LIST, "The webhook is deleted.")


@blueprint.page(
    "/webhooks/<webhook_id>/deliveries/<delivery_id>/redeliver", needs="write", methods=["POST"]
)
def post_redeliver(webhook_id: str, delivery_id: str) -> flask.Response:
    """Send it again: the same bytes under the same id."""
    try:
        webhooks.redeliver(context.core(), context.tenant(), webhook_id, delivery_id)
    except errors.Conflict as refused:
        return _page(webhook_id, refused)
    return blueprint.go(f"{_LIST}/{webhook_id}", f"{delivery_id} is sent again.")


def _page(webhook_id: str, refused: errors.Conflict | None = None) -> flask.Response:
    core, tenant, page = context.core(), context.tenant(), forms.page_of(flask.request.args)
    found = webhooks.get(core, tenant, webhook_id)
    rows, total = webhooks.deliveries(
        core, tenant, webhook_id, offset=(page - 1) * LIMIT, limit=LIMIT
    )
    return blueprint.render(
        "webhook.html",
        200 if refused is None else api_errors.status_of(refused),
        events=webhooks.EVENTS,
        hook=found,
        page=page,
        pages=max(1, -(-total // LIMIT)),
        problem="" if refused is None else forms.problems(refused)[""],
        rows=rows,
        total=total,
        waiting=core.store.webhooks.waiting([webhook_id])[0],
    )
