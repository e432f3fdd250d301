"""What the scripts on executions answer, as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from knify import model


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to an attempt to take an execution's lease."""

    # claimed | held | terminal | missing | turn | family | full | elsewhere | draining
    # | kept, stale or leftover: its container is being, or has to be, stopped or removed
    verdict: str
    execution: model.Execution | None = None  # when claimed
    # previous owner (claimed), owner (held, kept, stale), node (elsewhere; full: where it is next)
    other: str = ""
    # claimed: one that waits and now fits too; full: whose turn it is; family: who moved up
    next: str = ""
    sandbox: str = ""  # when kept, stale or leftover


@dataclass(frozen=True, slots=True)
class Answer:
    """What a submission is told: the same again when its Idempotency-Key comes again."""

    id: str
    sandbox_id: str | None
    parent_id: str | None = None
    session_id: str | None = None

    @classmethod
    def of(cls, first: dict[str, Any]) -> Answer:
        """The first submission's, as its key remembers it."""
        fields = (first.get(name) for name in ("sandbox_id", "parent_id", "session_id"))
        return cls(first["id"], *fields)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of a submission."""

    answer: Answer
    replayed: bool = False
    look: str | None = None  # the node that is to look at it, '' for any; None: an event brings it


def look(said: str) -> str | None:
    """What a script says of where a new execution is to be looked at."""
    return None if said == "-" else said


@dataclass(frozen=True, slots=True)
class Moved:
    """An execution after a change, and the executions that it set free."""

    execution: model.Execution
    hints: tuple[str, ...] = ()
