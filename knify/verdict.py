"""Why a command is stopped that would not end by itself, or not in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GRACE: Final = 30.0  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reason, and the time that the command gets to end by itself."""

    kind: str  # as in model.Outcome
    error: str
    grace: float = GRACE


#: As a verdict, an outcome, and the gateway's event: it took more of models than it may.
BUDGET: Final = "budget_exceeded"
CANCELLED: Final = Verdict("cancelled", "cancelled by request")
KILLED: Final = Verdict("cancelled", "cancelled by request", grace=0.0)
LINGERED: Final = Verdict("lingered", "it had told its result and did not exit", grace=5.0)
