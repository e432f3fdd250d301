"""Who wants to hear of a tenant's jobs, and what became of telling them."""

from __future__ import annotations

from dataclasses import dataclass, field

from knify.model import Record


@dataclass(frozen=True, slots=True)
class Webhook(Record):
    """A receiver that wants to hear of a tenant's jobs."""

    id: str
    tenant: str
    url: str  # as the user wrote it; checked again before each attempt
    events: tuple[str, ...]  # of `services.webhooks.EVENTS`
    secret: str = field(repr=False)  # sealed with the master key
    created_at: int
    name: str | None = None
    active: bool = True  # else nothing is put into its outbox
    failures: int = 0  # attempts in a row that failed
    failing_since: int | None = None  # when the first of them did
    last_error: str | None = None  # of the newest of them
    last_success_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery(Record):
    """One event for one webhook, and what became of it."""

    id: str  # names the event: the same for all webhooks and attempts
    type: str  # job.created, …
    job: str | None
    status: str  # pending | sending | delivered | failed
    created_at: int  # when it happened
    attempts: int = 0  # begun so far
    tries: int = 0  # the same since it was last asked for
    last_at: int | None = None  # when the newest attempt began
    next_at: int | None = None  # when the next one is due
    code: int | None = None  # HTTP status of the newest answer
    ms: int | None = None  # that the newest attempt took
    error: str | None = None  # why it failed
    ended_at: int | None = None
    event: str | None = field(default=None, repr=False)  # what happened (JSON), until it was sent
    body: str | None = field(default=None, repr=False)  # what was sent
