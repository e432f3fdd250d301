"""An execution as the Tasks API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from knify import briefs, clock, lifecycle, manifest, model
from knify.lifecycle import State
from knify.services import tokens
from knify.services.tasks import Beside
from knify.store import tasks

PATH: Final = "/api/v1/tasks"
#: What a state means, where nothing better is known.
MESSAGES: Final[dict[State, str]] = {
    State.PENDING: "waits for a worker",
    State.STAGING: "what it needs is checked",
    State.PROVISIONING: "its sandbox is made, its files are put in",
    State.READY: "its files are in, it is about to start",
    State.RUNNING: "runs",
    State.COMPLETING: "its artifacts are stored",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.FAILED_PRESERVED: "failed; its sandbox is kept for you to look at",
    State.CANCELLED: "cancelled",
}


def links(x: model.Execution) -> dict[str, str]:
    """Where more of it is."""
    here = f"{PATH}/{x.task_id}"  # an id needs no quoting
    return {"self": here, "logs": f"{here}/logs", "artifacts": f"{here}/artifacts"}


def accepted(x: model.Execution) -> dict[str, Any]:
    """The answer to a submission."""
    return {
        "task_id": x.task_id,
        "state": State.PENDING.value,
        "message": "Task accepted",
        "created_at": clock.rfc3339(x.created_at),
        "links": links(x),
    }


def brief(x: model.Execution, beside: Beside) -> dict[str, Any]:
    """The same with a long error cut, as lists have it."""
    return row(x.evolve(error=briefs.error(x.error)[0]), beside)


def row(x: model.Execution, beside: Beside) -> dict[str, Any]:
    """What lists and the task itself show."""
    return {
        "id": x.task_id,
        "name": x.name,
        "state": x.state.value,
        "labels": x.metadata,
        "created_at": clock.rfc3339(x.created_at),
        "started_at": _time(x.started_at),
        "state_changed_at": clock.rfc3339(x.state_changed_at or x.created_at),
        "state_message": _message(x, beside),
        "exit_code": x.exit_code,
        "error": x.error,
        "parent_id": beside.parent,
        "execution_id": x.id,
        "sandbox_id": x.sandbox_id,
    }


def page(
    found: tasks.Page, rows: Sequence[dict[str, Any]], limit: int, offset: int
) -> dict[str, Any]:
    """A part of a list."""
    shown: dict[str, Any] = {"tasks": rows, "total_count": found.total}
    shown |= {"limit": limit, "offset": offset, "has_more": offset + len(rows) < found.total}
    if found.total_is_estimate:
        shown["total_is_estimate"] = True
    if found.sorted_among is not None:
        shown["sorted_among"] = found.sorted_among
    return shown


def task(
    x: model.Execution, beside: Beside, last_activity_at: int, children: dict[str, Any] | None
) -> dict[str, Any]:
    """One task, whole; secrets stand in its definition by their names."""
    progress = pace(x) | {"last_activity_at": clock.rfc3339(last_activity_at)}
    more = {"progress": progress, "usage": x.usage, "definition": manifest.definition(x)}
    return row(x, beside) | more | {"children": children}


def pace(x: model.Execution) -> dict[str, Any]:
    """How far it is."""
    is_over = x.state in lifecycle.TERMINAL
    return {
        "output_bytes": x.out_bytes + x.err_bytes,
        "tool_calls": x.tool_calls,
        "current_tool": None if is_over else x.current_tool,
    }


def cancelled(before: model.Execution, after: model.Execution) -> dict[str, Any]:
    """The answer to a cancellation: the state that it has by now."""
    is_over = after.state is State.CANCELLED
    at = after.cancel_requested_at or after.completed_at or after.state_changed_at
    return {
        "success": True,
        "task_id": after.task_id,
        "previous_state": before.state.value,
        "new_state": after.state.value,
        "message": "Task cancelled" if is_over else "Task is told to end, and soon made to",
        "cancelled_at": clock.rfc3339(at),
    }


def shell(x: model.Execution, place: str, token: tokens.Token) -> dict[str, Any]:
    """A shell, and what opens its WebSocket."""
    return {
        "shell_id": x.id,
        "token": token.text,
        "expires_at": clock.rfc3339(token.expires_at),
        "url": f"{place}&token={token.text}",
    }


def artifacts(x: model.Execution, found: Sequence[model.Artifact]) -> dict[str, Any]:
    """Its files, and where to get them."""
    base = links(x)["artifacts"]
    shown = [
        {
            "name": a.path.rpartition("/")[2],
            "path": a.path,
            "size_bytes": a.size,
            "content_type": a.content_type,
            "checksum": None if a.withheld else f"sha256:{a.sha256}",
            "created_at": clock.rfc3339(a.created_at),
            "download_url": None if a.withheld else f"{base}/{_quoted(a.path)}",
            "withheld": a.withheld,
        }
        for a in found
    ]
    total = sum(a.size for a in found)
    return {"artifacts": shown, "total_count": len(shown), "total_size_bytes": total}


def _quoted(path: str) -> str:
    return quote(path, errors="surrogateescape")


def _message(x: model.Execution, beside: Beside) -> str:
    if x.state in lifecycle.TERMINAL:
        return x.error or MESSAGES[x.state]
    if x.cancel_requested_at:
        return f"is to be cancelled: {x.cancel_reason}"
    if x.parked_at:
        return "has done its work, and waits for its children"
    return (beside.waiting.reason if beside.waiting else None) or MESSAGES[x.state]


def _time(ms: int | None) -> str | None:
    return None if ms is None else clock.rfc3339(ms)
