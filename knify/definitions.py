"""Definitions: the Projects API's jobs, which make a run on a schedule or when somebody asks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from knify import cron
from knify.model import Record

POLICIES: Final = ("allow", "forbid", "replace")
CATCH_UPS: Final = ("none", "latest", "all")
#: How late a time may be started of which `catch_up` none says that it is not made up for.
GRACE_MS: Final = 30_000
#: A clock that was put back by more is believed, as Vixie cron does; by less, it is waited for.
BACK_MS: Final = 3 * 3_600_000
MOST_AT_ONCE: Final = 100  # runs that make up for missed times


@dataclass(frozen=True, slots=True)
class Definition(Record):
    """What is to be run, and when."""

    id: str
    tenant: str
    project: str
    name: str  # unique in the project
    request: dict[str, Any]  # the `spec` of each run, as its user wrote it
    created_at: int = 0  # ms since the epoch, as all times here
    updated_at: int = 0
    rev: int = 1  # grows with each change of its user's
    schedule: str | None = None  # five fields; None: only when somebody asks
    timezone: str = "UTC"  # of the schedule
    tags: tuple[str, ...] = ()
    concurrency_policy: str = "allow"  # what a due time does while an earlier run goes on
    catch_up: str = "latest"  # which of the times that nobody was there for are made up for
    starting_deadline_seconds: int | None = None  # how late a run may be made; None: any time
    suspended: bool = False  # no due time makes a run
    jitter_seconds: int = 0  # a moment within these, always the same one, behind each due time
    retries: int = 0  # how often a failed run is tried again
    retry_backoff_seconds: int = 10  # until the first retry; each further one after twice as long
    keep_succeeded: int | None = None  # newest runs that are kept; None: all, for their days
    keep_failed: int | None = None  # the same of those that failed or were cancelled
    next_at: int | None = None  # the due time that comes next; moved by the scheduler
    last_at: int = 0  # the newest due time that is done with, whatever came of it
    skipped_at: int | None = None  # when a due time last made no run,
    skip_reason: str | None = None  # and why
    words: str | None = None  # the schedule in English; None also where an older version wrote it

    @property
    def cron(self) -> cron.Cron | None:
        """Its schedule in its zone."""
        return cron.Cron(self.schedule, self.timezone) if self.schedule else None

    @property
    def jitter_ms(self) -> int:
        """How much later than its due times it is started."""
        digest = hashlib.blake2b(self.id.encode(), digest_size=6).digest()
        return int.from_bytes(digest) % (self.jitter_seconds * 1000 + 1)

    def planned(self, now: int) -> int | None:
        """The next due time behind this moment and all that is done with."""
        due = None if self.suspended else self.cron
        done = self.last_at if self.last_at <= now + BACK_MS else 0
        return due.after(max(now, done)) if due else None

    def score(self, at: int | None) -> int | None:
        """When that is to be looked at."""
        return None if at is None else at + self.jitter_ms

    def upcoming(self, most: int) -> list[int]:
        """The next due times."""
        due, found = self.cron, [] if self.next_at is None else [self.next_at]
        while due and found and len(found) < most:
            at = due.after(found[-1])
            if at is None:
                break
            found.append(at)
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a definition's due times at one moment."""

    next_at: int | None  # the due time that comes next
    last_at: int  # that is done with
    times: list[int] = field(default_factory=list)  # those that make a run
    skipped: str | None = None  # why one makes none


def decide(d: Definition, now: int) -> Plan:
    """Its runs for all due times up to now, ms by Redis's clock."""
    due, first, until = d.cron, d.next_at, now - d.jitter_ms
    if due is None or first is None or first > until:
        return Plan(first, d.last_at)
    latest = due.latest(first, until)
    times = _made_up(d, due, first, latest, until)
    skipped = None if latest in times else f"its time was {_ago(until - latest)} ago"
    if skipped is None and first != times[0]:
        skipped = "nobody was there for earlier times"
    return Plan(due.after(max(until, latest)), latest, times, skipped)


def put_back(d: Definition, now: int) -> Plan | None:
    """A plan from now on for one that was fired by a clock that has been put back since, or None.

    Without it nothing were due until the clock has come as far again, be that a year.
    """
    due = d.cron
    if due is None or d.last_at <= now + BACK_MS:
        return None
    return Plan(due.after(now), now, [], "the clock was put back")


def _made_up(d: Definition, due: cron.Cron, first: int, latest: int, until: int) -> list[int]:
    oldest = until - 1000 * d.starting_deadline_seconds if d.starting_deadline_seconds else 0
    if d.catch_up == "all":
        found = due.newest(first, until, MOST_AT_ONCE)
        return [at for at in found if at >= oldest]
    if d.catch_up == "none" and d.starting_deadline_seconds is None:
        oldest = until - GRACE_MS
    return [latest] if latest >= oldest else []


def _ago(ms: int) -> str:
    return f"{ms / 1000:.0f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"
