"""What a webhook's receiver heard, held against what happened: each event at least once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import standardwebhooks

from knify.lifecycle import TERMINAL, State
from tests.chaos.history import Seen, Violation
from tests.webhooks.receiver import Got

SECRET = "chaos_secret"
_TYPES = {State.PENDING: "job.created", State.RUNNING: "job.started"} | {
    state: f"job.{state.value}" for state in TERMINAL
}


def check(got: Sequence[Got], seen: Iterable[Seen]) -> Iterator[Violation]:
    """Nothing lost, nothing made up; one id and one body for an event; each job's in order."""
    by_job: dict[str, list[str]] = {}
    bodies: dict[str, bytes] = {}
    checker = standardwebhooks.Webhook(SECRET.encode())
    for one in got:
        job = one.body["job_id"]
        if job and bodies.setdefault(one.id, one.raw) != one.raw:
            yield Violation("webhook", job, f"{one.id} came with two bodies")
        try:
            checker.verify(one.raw, one.headers)
        except standardwebhooks.WebhookVerificationError as failed:
            # Its time is that of the attempt, and this may be looked at minutes later.
            if "too old" not in str(failed):
                yield Violation("webhook", job or "", f"{one.id}: {failed}")
        if job and one.body["type"] not in by_job.setdefault(job, []):
            by_job[job].append(one.body["type"])
    for job_seen in seen:
        happened = [State(event.state) for event in job_seen.events if event.state]
        wanted = [_TYPES[state] for state in happened if state in _TYPES]
        heard = by_job.get(job_seen.id, [])
        if heard != wanted:
            yield Violation("webhook", job_seen.id, f"heard {heard}, happened: {wanted}")
