"""Webhooks: whom the tenant's jobs are told to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import flask
from werkzeug.datastructures import MultiDict

from api import context
from api import errors as api_errors
from api.console import blueprint, forms
from api.strict import load
from api.webhooks import schemas
from knify import conflicts, errors, receivers
from knify.services import webhooks

_LIST: Final = "/console/webhooks"
_TEXTS: Final = ("url", "name", "secret")


@blueprint.page("/webhooks")
def get_webhooks() -> flask.Response:
    """The tenant's, oldest first; there are 20 at most."""
    store = context.core().store.webhooks
    found = store.of_tenant(context.tenant())
    waiting = store.waiting([one.id for one in found])
    return blueprint.render("webhooks.html", rows=list(zip(found, waiting, strict=True)))


@blueprint.page("/webhooks/new", needs="write")
def get_webhooks_new() -> flask.Response:
    """The form for a new one."""
    return _form(MultiDict([("events", event) for event in webhooks.EVENTS]), {})


@blueprint.page("/webhooks", needs="write", methods=["POST"])
def post_webhook() -> flask.Response:
    """Register one; a secret that is made here is shown once, in this answer."""
    form = flask.request.form
    try:
        body = load(schemas.NewWebhook(), forms.body(form, texts=_TEXTS, lists=("events",)))
        made = webhooks.create(context.core(), context.tenant(), **body)
    except (errors.BadRequest, conflicts.WebhookLimit) as refused:
        return _form(form, forms.problems(refused), api_errors.status_of(refused))
    where = f"{_LIST}/{made.record.id}"
    if made.secret is None:
        return blueprint.go(where, "The webhook is there now.")
    answer = blueprint.render("webhook_secret.html", hook=made.record, secret=made.secret)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.page("/webhooks/<webhook_id>/edit", needs="write")
def get_webhook_edit(webhook_id: str) -> flask.Response:
    """The form to change one."""
    found = webhooks.get(context.core(), context.tenant(), webhook_id)
    typed = MultiDict([("url", found.url), ("name", found.name or "")])
    typed.setlist("events", list(found.events))
    return _form(typed, {}, found=found)


@blueprint.page("/webhooks/<webhook_id>/edit", needs="write", methods=["POST"])
def post_webhook_edit(webhook_id: str) -> flask.Response:
    """Change it; without a new secret the old one stays."""
    core, tenant, form = context.core(), context.tenant(), flask.request.form
    found = webhooks.get(core, tenant, webhook_id)
    try:
        sent: dict[str, Any] = forms.body(form, texts=_TEXTS, lists=("events",))
        # What is cleared must be said, and a name that was never there need not be.
        sent = {"url": ""} | sent | ({"name": form.get("name", "")} if found.name else {})
        webhooks.change(core, tenant, webhook_id, load(schemas.Changes(), sent))
    except errors.BadRequest as refused:
        return _form(form, forms.problems(refused), api_errors.status_of(refused), found=found)
    return blueprint.go(f"{_LIST}/{webhook_id}", "The webhook is changed.")


def _form(
    typed: MultiDict[str, str],
    problems: Mapping[str, str],
    status: int = 200,
    *,
    found: receivers.Webhook | None = None,
) -> flask.Response:
    return blueprint.render(
        "webhook_form.html",
        status,
        events=webhooks.EVENTS,
        found=found,
        problems=problems,
        typed=typed,
    )
