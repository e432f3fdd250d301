"""Tasks that end behind their children: parked when all else is done, woken by the last of them."""

from __future__ import annotations

import functools
from collections.abc import Callable

from knify import families, model
from knify.core import Core
from knify.lifecycle import State
from knify.services import jobs
from knify.turn import Ending, Hands, Turn


class Parking:
    """What stands between the work of `completing` and the end."""

    def __init__(self, core: Core, hands: Hands) -> None:
        self._core = core
        self._store = core.store.executions
        self._hands = hands

    def behind_children(self, step: Callable[[Turn], Ending]) -> Callable[[Turn], Ending | None]:
        """The step, whose ending counts only when no child is awaited any more."""

        @functools.wraps(step)
        def complete(turn: Turn) -> Ending | None:
            if turn.x.parked_at and self._waits(turn) and self._park(turn):
                return None  # woken without need
            ending = step(turn)
            if not families.of(turn.x.request).wait_for_children or not self._count(turn.x):
                return ending
            if self._hands.is_cancelled(turn):
                return self._cancelled(turn, ending)
            self._rest(turn, ending)
            return None if self._park(turn) else ending

        return complete

    def _waits(self, turn: Turn) -> bool:
        return self._count(turn.x) > 0 and not self._hands.is_cancelled(turn)

    def _count(self, x: model.Execution) -> int:
        return self._core.store.families.count_open(x.id)

    def _rest(self, turn: Turn, ending: Ending) -> None:
        """Nothing of it takes memory meanwhile, and its record says so."""
        state = self._hands.quiet(turn) if ending.hot else ending.sandbox
        if state:
            turn.x = self._store.note(turn.x, "", "", sandbox={"state": state})

    def _park(self, turn: Turn) -> bool:
        """False when the last child has ended in this moment."""
        open_ones = self._count(turn.x)
        detail = f"Waits for {open_ones} {'child' if open_ones == 1 else 'children'} to end"
        hints = self._core.store.families.park(turn.x, detail)
        if hints is None:
            return False
        turn.parked = True
        jobs.hint_all(self._core, hints, self._hands.node)
        return True

    def _cancelled(self, turn: Turn, ending: Ending) -> Ending:
        """It did its work, and is not waited for any more."""
        if ending.to is not State.COMPLETED:
            return ending
        now = self._store.find(turn.x.id)
        reason = (now and now.cancel_reason) or "cancelled"
        assert turn.x.outcome is not None
        outcome = turn.x.outcome.evolve(kind="cancelled", error=reason)
        turn.x = self._store.note(turn.x, "", "", outcome=outcome, error=reason)
        return Ending(State.CANCELLED, reason, ending.sandbox, ending.events, ending.hot)
