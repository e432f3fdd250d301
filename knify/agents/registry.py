"""Which adapter serves which job type."""

from __future__ import annotations

from collections.abc import Callable

from knify import errors
from knify.agents import base, command, runbook

_ADAPTERS: dict[str, Callable[[str], base.Adapter]] = {
    "command_task": command.Command,
    "runbook_task": runbook.Runbook,
}


def available() -> tuple[str, ...]:
    """The job types that can be run, sorted."""
    return tuple(sorted(_ADAPTERS))


def adapter(job_type: str, nonce: str) -> base.Adapter:
    """A fresh adapter for one turn; BadRequest for an unknown type.

    `nonce` is the turn's secret (`ids.nonce`); the same one continues the same turn.
    """
    make = _ADAPTERS.get(job_type)
    if make is None:
        raise errors.BadRequest(
            f"unknown job_type {job_type!r}: use one of {', '.join(available())}",
            detail={"field": "job_type"},
        )
    return make(nonce)
