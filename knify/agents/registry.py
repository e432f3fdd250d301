"""Which adapter serves which job type."""

from __future__ import annotations

from collections.abc import Callable

from knify import errors, model
from knify.agents import base, command, cursor, runbook

_ADAPTERS: dict[str, Callable[[str, model.Said], base.Adapter]] = {
    "command_task": lambda nonce, said: command.Command(nonce),
    "cursor_task": lambda nonce, said: cursor.Cursor(said),
    "runbook_task": lambda nonce, said: runbook.Runbook(nonce),
}


def available() -> tuple[str, ...]:
    """The job types that can be run, sorted."""
    return tuple(sorted(_ADAPTERS))


def adapter(job_type: str, nonce: str, said: model.Said | None = None) -> base.Adapter:
    """A fresh adapter for one turn; BadRequest for an unknown type.

    `nonce` is the turn's secret (`ids.nonce`); the same one continues the same turn, and `said`
    is what its agent had told by then.
    """
    make = _ADAPTERS.get(job_type)
    if make is None:
        raise errors.BadRequest(
            f"unknown job_type {job_type!r}: use one of {', '.join(available())}",
            detail={"field": "job_type"},
        )
    return make(nonce, said or model.Said())
