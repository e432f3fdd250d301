"""Which of an agent's conversations a job goes on with."""

from __future__ import annotations

from knify import model, spec
from knify.core import Core

_FAR = 100  # jobs that are looked at, from the one that is continued backwards


def of(core: Core, x: model.Execution, *, again: bool = False) -> str | None:
    """The one that the user named, or that of the job which this one continues; None: a new one.

    Looked up when the job starts: the one before may only then have begun its conversation.
    `again`: it was about to start before, so that the id in its record may be that of a new
    conversation, which nobody has begun.
    """
    if not spec.is_agent(x.spec.actor):
        return None
    found = x.spec.session_id or inherited(core, x.parent_id, x.spec.actor)
    if found or not again:
        return found or x.session_id
    is_gone = x.parent_id is not None and core.store.executions.find(x.parent_id) is None
    return x.session_id if is_gone else None


def inherited(core: Core, parent_id: str | None, job_type: str, *, far: int = _FAR) -> str | None:
    """The conversation of the nearest job of this type on the way back through the parents."""
    if not spec.is_agent(job_type):
        return None
    for _ in range(far):
        before = core.store.executions.find(parent_id) if parent_id else None
        if before is None:
            return None
        if before.spec.actor == job_type and before.session_id:
            return before.session_id
        parent_id = before.parent_id
    return None
