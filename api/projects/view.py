"""Definitions and executions as the Projects API shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from knify import clock, cron, model
from knify.definitions import Definition
from knify.lifecycle import State
from knify.services import lines, metrics

OWN: Final = "-"  # as a workspace: the key's own
PATH: Final = "/v1/workspaces/<workspace_id>/projects"
UPCOMING: Final = 5  # due times that are shown
#: The whole state table in the words of runs.
STATUS: Final[dict[State, str]] = {
    State.PENDING: "pending",
    State.STAGING: "pending",
    State.PROVISIONING: "pending",
    State.READY: "running",
    State.RUNNING: "running",
    State.COMPLETING: "running",
    State.COMPLETED: "succeeded",
    State.FAILED: "failed",
    State.FAILED_PRESERVED: "failed",
    State.CANCELLED: "cancelled",
}
STATUSES: Final = tuple(dict.fromkeys(STATUS.values()))
_PLAIN: Final = (
    *("id", "name", "schedule", "timezone", "concurrency_policy", "catch_up"),
    *("starting_deadline_seconds", "suspended", "jitter_seconds", "retries"),
    *("retry_backoff_seconds", "keep_succeeded", "keep_failed"),
)


def job(d: Definition) -> dict[str, Any]:
    """A definition with its next due times, which have to be looked for."""
    words = d.words or (cron.sentence(d.schedule) if d.schedule else None)
    times = [_moment(d, at) for at in d.upcoming(UPCOMING)]
    return row(d) | {"schedule_description": words, "next_runs": times}


def row(d: Definition) -> dict[str, Any]:
    """What is stored of it; image, command and env stand beside the spec that holds them."""
    shown = {name: getattr(d, name) for name in _PLAIN}
    return shown | {
        "workspace_id": d.tenant,
        "project_id": d.project,
        "image": d.request.get("image"),
        "command": d.request.get("command"),
        "env": d.request.get("env", {}),
        "spec": d.request,
        "tags": list(d.tags),
        "schedule_description": d.words,
        "next_runs": [] if d.next_at is None else [_moment(d, d.next_at)],
        "last_skip": _skip(d),
        "created_at": clock.rfc3339(d.created_at),
        "updated_at": clock.rfc3339(d.updated_at),
    }


def run(x: model.Execution) -> dict[str, Any]:
    """One run."""
    made = x.run or model.Run("manual")
    return {
        "id": x.id,
        "job_id": x.definition,
        "name": x.name,
        "status": STATUS[x.state],
        "state": x.state.value,
        "trigger": made.trigger,
        "scheduled_at": _time(made.scheduled_at),
        "attempt": made.attempt,
        "retry_of": x.retry_of,
        "created_at": clock.rfc3339(x.created_at),
        "started_at": _time(x.started_at),
        "completed_at": _time(x.completed_at),
        "duration_seconds": _seconds(x),
        "exit_code": x.exit_code,
        "error": x.error,
        "sandbox_id": x.sandbox_id,
    }


def status(
    d: Definition, last: model.Execution | None, counts: Mapping[str, int]
) -> dict[str, Any]:
    """How a definition is doing."""
    known = dict.fromkeys(STATUSES, 0)
    for state, n in counts.items():
        known[STATUS[State(state)]] += n
    return {
        "job_id": d.id,
        "last_run": None if last is None else run(last),
        "counts": known | {"total": sum(known.values())},
        "schedule": d.schedule,
        "timezone": d.timezone,
        "suspended": d.suspended,
        "next_run_at": None if d.next_at is None else _moment(d, d.next_at),
        "last_skip": _skip(d),
    }


def line(one: lines.Line) -> dict[str, Any]:
    """A line that a run printed."""
    return {
        "ts": clock.rfc3339(one.ts),
        "run_id": one.run_id,
        "stream": one.stream,
        "line": one.text,
    }


def metric(job_id: str, name: str, found: Mapping[str, metrics.Series]) -> dict[str, Any]:
    """One metric's series."""
    if name not in found:
        return no_metric(f"no metric {name[:100]!r}: there are {', '.join(metrics.NAMES)}")
    values = [[at / 1000, f"{value:.3f}".rstrip("0").rstrip(".")] for at, value in found[name]]
    return {
        "status": "success",
        "data": [{"metric": {"name": name, "job_id": job_id}, "values": values}],
    }


def no_metric(why: str) -> dict[str, Any]:
    """Why there is none."""
    return {"status": "error", "error": why}


def project(name: str, created_at: int, jobs: int) -> dict[str, Any]:
    """A project: there as long as it has jobs."""
    return {"id": name, "created_at": clock.rfc3339(created_at), "jobs": jobs}


def _moment(d: Definition, at: int) -> str:
    """When a run is made for it."""
    return clock.rfc3339(d.score(at) or at)


def _skip(d: Definition) -> dict[str, Any] | None:
    if d.skipped_at is None:
        return None
    return {"at": clock.rfc3339(d.skipped_at), "reason": d.skip_reason}


def _seconds(x: model.Execution) -> float | None:
    if x.started_at is None or x.completed_at is None:
        return None
    return (x.completed_at - x.started_at) / 1000


def _time(ms: int | None) -> str | None:
    return None if ms is None else clock.rfc3339(ms)
