"""Jobs of projects and their runs as values: see `records`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from knify.client.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectJob(Record):
    """A job that is defined once."""

    id: str
    name: str | None = None
    project_id: str | None = None
    schedule: str | None = None
    schedule_description: str | None = None
    timezone: str | None = None
    next_runs: list[str] | None = None
    tags: list[str] | None = None
    suspended: bool | None = None
    created_at: str | None = None
    updated_at: str | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """What a run does."""
        return self.raw.get("spec") or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Record):
    """One run of such a job; a job of its own, too, under the same id."""

    id: str
    status: str  # pending | running | succeeded | failed | cancelled
    job_id: str | None = None
    trigger: str | None = None  # manual | schedule | retry
    scheduled_at: str | None = None
    attempt: int | None = None
    retry_of: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    duration_seconds: float | None = None
    exit_code: int | None = None
    error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.status in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine(Record):
    """One line that a run printed."""

    ts: str
    run_id: str
    line: str
    stream: str | None = None
