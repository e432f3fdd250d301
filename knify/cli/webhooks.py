"""`knify webhooks …`: who hears of jobs, and what became of what was sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from knify.cli import entry, jobs, show

if TYPE_CHECKING:
    from knify.client.records import Delivery

_EVENTS = ("job.created", "job.started", "job.completed", "job.failed", "job.cancelled")
_FACTS = (
    "webhook_id", "url", "events", "name", "active", "created_at", "waiting", "failing_since",
    "last_error", "last_success_at", "secret",
)  # fmt: skip
_PATIENCE = 20.0  # seconds for the first attempt of a test
_PAUSE = 0.2

_event_option = click.option(
    "--event", "events", multiple=True, type=click.Choice(_EVENTS), metavar="EVENT",
    help="Repeat it for several. Default: all of " + ", ".join(_EVENTS) + ".",
)  # fmt: skip


@click.group(cls=entry.Group)
def webhooks() -> None:
    """Tell other servers what happens to jobs."""


@webhooks.command()
@click.argument("url")
@_event_option
@click.option(
    "--secret", help="Signs what is sent, 8 to 200 characters. Default: one is made, shown once."
)
@click.option("--name", help="What it is for.")
@jobs.json_option
def create(
    url: str, events: tuple[str, ...], secret: str | None, name: str | None, json_: bool
) -> None:
    """Send events to URL from now on."""
    made = entry.client().create_webhook(url, events or None, secret, name).raw
    if json_:
        return show.as_json(made)
    if "secret" in made:
        show.line("this secret is shown only once", err=True)
    show.facts({name: made.get(name) for name in ("webhook_id", "url", "events", "secret")})
    return show.line(f"try it: knify webhooks test {made.get('webhook_id')}", err=True)


@webhooks.command("list")
@jobs.json_option
def list_(json_: bool) -> None:
    """List the webhooks, oldest first."""
    found = [one.raw for one in entry.client().list_webhooks()]
    if json_:
        return show.as_json(found)
    rows = [
        (
            row.get("webhook_id"),
            row.get("url"),
            _state(row),
            row.get("waiting"),
            show.when(row.get("last_success_at")),
            row.get("name"),
        )
        for row in found
    ]
    heads = ("WEBHOOK", "URL", "STATE", "WAITING", "DELIVERED", "NAME")
    return show.table(heads, rows, below="URL", flexible=("NAME",))


@webhooks.command("show")
@click.argument("webhook_id")
@jobs.json_option
def show_(webhook_id: str, json_: bool) -> None:
    """Show a webhook, and since when its attempts fail."""
    found = entry.client().webhook(webhook_id).raw
    if json_:
        return show.as_json(found)
    return show.facts({name: found.get(name) for name in _FACTS})


@webhooks.command()
@click.argument("webhook_id")
@click.option("--url")
@_event_option
@click.option("--secret", help="Another secret, from the next attempt on.")
@click.option("--name")
@click.option("--on/--off", "active", default=None, help="Whether it hears of anything.")
@jobs.json_option
def change(
    webhook_id: str,
    url: str | None,
    events: tuple[str, ...],
    secret: str | None,
    name: str | None,
    active: bool | None,
    json_: bool,
) -> None:
    """Change what is given. Switched off, what waits for it is given up."""
    changed = entry.client().change_webhook(
        webhook_id, url=url, events=events or None, secret=secret, name=name, active=active
    )
    if json_:
        return show.as_json(changed.raw)
    return show.facts({name: changed.raw.get(name) for name in _FACTS})


@webhooks.command()
@click.argument("webhook_id")
@jobs.yes_option
@jobs.json_option
def delete(webhook_id: str, yes: bool, json_: bool) -> None:
    """Tell it nothing any more."""
    jobs.confirm(f"Delete {webhook_id} with its history for good?", yes=yes)
    entry.client().delete_webhook(webhook_id)
    jobs.done({"webhook_id": webhook_id, "deleted": True}, f"{webhook_id} is gone", json_=json_)


@webhooks.command()
@click.argument("webhook_id")
@click.option("--no-wait", is_flag=True, help="Do not wait for the first attempt.")
@jobs.json_option
def test(webhook_id: str, no_wait: bool, json_: bool) -> None:
    """Send it an event of no job; exit code 1 when that was not taken."""
    sent = entry.client().test_webhook(webhook_id)
    _told(sent if no_wait else _tried(webhook_id, sent), json_)


@webhooks.command()
@click.argument("webhook_id")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@jobs.json_option
def deliveries(webhook_id: str, limit: int, json_: bool) -> None:
    """List what waits and what was sent, newest first."""
    found = [one.raw for one in entry.client().deliveries(webhook_id, limit=limit)]
    if json_:
        return show.as_json(found)
    rows = [
        (
            row.get("delivery_id"),
            row.get("type"),
            row.get("status"),
            row.get("attempts"),
            row.get("response_code"),
            show.when(row.get("next_attempt_at") or row.get("ended_at")),
            row.get("error"),
        )
        for row in found
    ]
    heads = ("DELIVERY", "TYPE", "STATUS", "ATTEMPTS", "CODE", "NEXT OR END", "ERROR")
    return show.table(heads, rows, below="ERROR", lesser=("ATTEMPTS", "TYPE"))


@webhooks.command()
@click.argument("webhook_id")
@click.argument("delivery_id")
@click.option("--no-wait", is_flag=True, help="Do not wait for the first attempt.")
@jobs.json_option
def redeliver(webhook_id: str, delivery_id: str, no_wait: bool, json_: bool) -> None:
    """Send a delivery once more; exit code 1 when that was not taken."""
    sent = entry.client().redeliver(webhook_id, delivery_id)
    _told(sent if no_wait else _tried(webhook_id, sent), json_)


def _tried(webhook_id: str, sent: Delivery) -> Delivery:
    """The delivery after its first attempt, or as it is when that takes too long."""
    deadline = time.monotonic() + _PATIENCE
    while sent.status in ("pending", "sending") and not sent.error:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE)
        found = entry.client().deliveries(webhook_id, limit=100)
        sent = next((one for one in found if one.delivery_id == sent.delivery_id), sent)
    return sent


def _told(sent: Delivery, json_: bool) -> None:
    if json_:
        show.as_json(sent.raw)
    else:
        show.line(f"{sent.delivery_id} {sent.status}{f': {sent.error}' if sent.error else ''}")
    if sent.error:
        entry.leave(entry.FAILED)


def _state(row: dict[str, object]) -> str:
    if not row.get("active"):
        return "off"
    return "failing" if row.get("failing_since") else "on"
