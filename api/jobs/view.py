"""An execution as the Jobs API shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from knify import briefs, clock, model
from knify.lifecycle import State
from knify.store import admission, replies

#: The whole state table in the Jobs API's five words.
STATUS: Final[dict[State, str]] = {
    State.PENDING: "pending",
    State.STAGING: "pending",
    State.PROVISIONING: "pending",
    State.READY: "running",
    State.RUNNING: "running",
    State.COMPLETING: "running",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.FAILED_PRESERVED: "failed",
    State.CANCELLED: "cancelled",
}
#: The other way round: what a status in a filter stands for.
STATES_OF: Final[dict[str, tuple[State, ...]]] = {
    status: tuple(state for state, shown in STATUS.items() if shown == status)
    for status in dict.fromkeys(STATUS.values())
}


def row(x: model.Execution, waiting: admission.Waiting | None = None) -> dict[str, Any]:
    """One job as a list shows it: long texts are cut, and the job itself has them whole."""
    spec, cut = briefs.request(x.request)
    metadata, fewer = briefs.metadata(x.metadata)
    error, shorter = briefs.error(x.error)
    shown = job(x.evolve(request=spec, metadata=metadata, error=error), waiting)
    return shown | {"is_brief": True} if cut or fewer or shorter or x.is_brief else shown


def job(x: model.Execution, waiting: admission.Waiting | None = None) -> dict[str, Any]:
    """One job, whole."""
    shown = {
        "id": x.id,
        "name": x.name,
        "spec": x.request,
        "status": STATUS[x.state],
        "state": x.state.value,
        "metadata": x.metadata,
        "created_at": clock.rfc3339(x.created_at),
        "started_at": _time(x.started_at),
        "completed_at": _time(x.completed_at),
        "sandbox_id": x.sandbox_id,
        "cursor_session_id": x.session_id,
        "parent_job_id": x.parent_id,
        "usage": x.usage,
        "exit_code": x.exit_code,
        "error": x.error,
    }
    if waiting is None:
        return shown
    return shown | {"queue_position": waiting.position, "pending_reason": waiting.reason}


def detail(
    shown: dict[str, Any],
    events: Iterable[model.Event],
    artifacts: dict[str, Any],
    image_digest: str | None,
) -> dict[str, Any]:
    """One job with its history, the names of its files and what lists have not: see packing."""
    more = {"events": [event(e) for e in events], "artifacts": artifacts}
    return shown | {"image_digest": image_digest} | more


def event(e: model.Event) -> dict[str, Any]:
    """One step of a history."""
    return {
        "n": e.n,
        "ts": clock.rfc3339(e.ts),
        "stage": e.stage,
        "level": e.level,
        "detail": e.detail,
        "state": e.state,
    }


def accepted(x: replies.Answer) -> dict[str, Any]:
    """The answer to a submission: always the first one's, also when it is replayed later."""
    return {"job_id": x.id, "status": STATUS[State.PENDING]}


def continued(x: replies.Answer) -> dict[str, Any]:
    """The answer to a continuation."""
    return accepted(x) | {
        "parent_job_id": x.parent_id,
        "sandbox_id": x.sandbox_id,
        "cursor_session_id": x.session_id,
    }


def _time(ms: int | None) -> str | None:
    return None if ms is None else clock.rfc3339(ms)
