"""Which adapter serves which job type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from knify import errors, model
from knify.agents import (
    base,
    claude,
    codex,
    command,
    cursor,
    e2e_tools,
    gemini,
    headless,
    runbook,
    summarised,
    user_exam,
)

_ADAPTERS: dict[str, Callable[[str, model.Said], base.Adapter]] = {
    "claude_task": lambda nonce, said: claude.Claude(said),
    "codex_task": lambda nonce, said: codex.Codex(said),
    "command_task": lambda nonce, said: command.Command(nonce),
    "cursor_task": lambda nonce, said: cursor.Cursor(said),
    "fh_e2e_tools": lambda nonce, said: e2e_tools.E2E(nonce),
    "gemini_task": lambda nonce, said: gemini.Gemini(said),
    "runbook_task": lambda nonce, said: runbook.Runbook(nonce),
    "user_exam": lambda nonce, said: user_exam.UserExam(nonce, said),
}


def available() -> tuple[str, ...]:
    """The job types that can be run, sorted."""
    return tuple(sorted(_ADAPTERS))


def adapter(
    job_type: str,
    nonce: str,
    said: model.Said | None = None,
    *,
    actor: str | None = None,
    sources: Path | None = None,
) -> base.Adapter:
    """A fresh adapter for one turn; BadRequest for an unknown type.

    `nonce` is the turn's secret (`ids.nonce`); the same one continues the same turn, and `said`
    is what its agent had told by then. `actor`: the type whose agent works, if it is another one.
    `sources`: the operator's own (`KNIFY_SOURCES_FILE`).
    """
    make = _ADAPTERS.get(job_type)
    if make is None:
        raise errors.BadRequest(
            f"unknown job_type {job_type!r}: use one of {', '.join(available())}",
            detail={"field": "job_type"},
        )
    made = make(nonce, said or model.Said())
    if isinstance(made, user_exam.UserExam):
        made.operators = sources
    return made if actor in (None, job_type) else _led(made, adapter(str(actor), nonce, said))


def _led(made: base.Adapter, agent: base.Adapter) -> base.Adapter:
    """An agent has a part in it: the prompt, or what is to be said of an examination."""
    if isinstance(made, user_exam.UserExam) and isinstance(agent, headless.Headless):
        made.said = model.Said()  # what was said is the agent's
        return summarised.Summarised(made, agent)
    return e2e_tools.Led(agent)
