"""The lifecycles of executions and sandboxes, as data. Nothing else knows what may follow what."""

from __future__ import annotations

import itertools
from enum import StrEnum

from knify import conflicts


class State(StrEnum):
    """States of an execution: one spec, run once, in one sandbox."""

    PENDING = "pending"
    STAGING = "staging"
    PROVISIONING = "provisioning"
    READY = "ready"
    RUNNING = "running"
    COMPLETING = "completing"
    COMPLETED = "completed"
    FAILED = "failed"
    FAILED_PRESERVED = "failed_preserved"
    CANCELLED = "cancelled"


class SandboxState(StrEnum):
    """States of a sandbox, which outlives its executions."""

    CREATING = "creating"
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"
    DELETED = "deleted"
    LOST = "lost"


_FORWARD = [
    State.PENDING,
    State.STAGING,
    State.PROVISIONING,
    State.READY,
    State.RUNNING,
    State.COMPLETING,
    State.COMPLETED,
]
_ENDED_BADLY = frozenset({State.FAILED, State.FAILED_PRESERVED, State.CANCELLED})

#: Allowed moves: one step forward, or to failure or cancellation from every state with a successor.
EXECUTION: dict[State, frozenset[State]] = {
    **{here: frozenset({after}) | _ENDED_BADLY for here, after in itertools.pairwise(_FORWARD)},
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.FAILED_PRESERVED: frozenset(),
    State.CANCELLED: frozenset(),
}
#: States that nothing follows, derived from the table.
TERMINAL: frozenset[State] = frozenset(s for s, after in EXECUTION.items() if not after)

SANDBOX: dict[SandboxState, frozenset[SandboxState]] = {
    SandboxState.CREATING: frozenset(
        # Back to archived: a restoring that was given up.
        {SandboxState.ACTIVE, SandboxState.ARCHIVED, SandboxState.DELETED, SandboxState.LOST}
    ),
    SandboxState.ACTIVE: frozenset({SandboxState.PAUSED, SandboxState.DELETED, SandboxState.LOST}),
    SandboxState.PAUSED: frozenset(
        {SandboxState.ACTIVE, SandboxState.ARCHIVED, SandboxState.DELETED, SandboxState.LOST}
    ),
    SandboxState.ARCHIVED: frozenset({SandboxState.CREATING, SandboxState.DELETED}),
    SandboxState.DELETED: frozenset(),
    SandboxState.LOST: frozenset({SandboxState.DELETED}),
}


def sandbox_before(there: SandboxState) -> list[SandboxState]:
    """The states that a sandbox may be in when it becomes `there`; repeating a move is none."""
    return [here for here, after in SANDBOX.items() if there in after or here is there]


def check(here: State, there: State) -> None:
    """Raise IllegalTransition unless the table allows the move from `here` to `there`."""
    if there not in EXECUTION[here]:
        raise conflicts.IllegalTransition(f"an execution that is {here} cannot become {there}")
