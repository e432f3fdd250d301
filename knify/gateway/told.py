"""What the gateway has to tell about one execution: bounded, kept until its owner has taken it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from knify import clock

MOST: Final = 100  # of one stage and execution
_DETAIL: Final = 300  # characters


@dataclass(frozen=True, slots=True)
class Event:
    """One event for an execution's history."""

    n: int  # grows; unique within its execution
    stage: str  # egress_refused, model_refused, model_error, budget_exceeded, …
    level: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class Told:
    """One execution's events. What repeats is told once, and of very many only that they are."""

    def __init__(self, notify: Callable[[], None] = lambda: None) -> None:
        """`notify` is called with each new one."""
        self.waiting: dict[int, Event] = {}  # by n: not taken yet
        self._notify = notify
        self._seen: set[tuple[str, str]] = set()
        self._counts: Counter[str] = Counter()  # by stage
        self._n = clock.now_ms()  # so that no two lives of the gateway give one number

    def once(self, stage: str, detail: str, *, mark: str | None = None) -> None:
        """Tell it, unless the same (`mark`, else the detail) was told before."""
        seen = (stage, detail[:_DETAIL] if mark is None else mark)
        if seen not in self._seen and self._counts[stage] <= MOST:
            self._seen.add(seen)
            self.add(stage, detail)

    def add(self, stage: str, detail: str) -> None:
        """Tell it, as often as it happens."""
        self._counts[stage] += 1
        if self._counts[stage] > MOST + 1:
            return
        if self._counts[stage] > MOST:
            detail = f"more than {MOST} such events: further ones are not told"
        self._n += 1
        self.waiting[self._n] = Event(self._n, stage, "warning", detail[:_DETAIL])
        self._notify()

    def take(self, n: int) -> None:
        """Its owner has published it."""
        self.waiting.pop(n, None)
