"""The last step: what a turn made is stored, its sandbox rests, and all is said."""

from __future__ import annotations

from knify import collect, custody, model
from knify.core import Core
from knify.exits import Exits
from knify.lifecycle import SandboxState, State
from knify.recovery import Recovery
from knify.staging import products
from knify.turn import Ending, Hands, Turn


class Completing:
    """What is to be done in `completing`."""

    def __init__(self, core: Core, hands: Hands, recovery: Recovery, exits: Exits) -> None:
        self._core = core
        self._store = core.store.executions
        self._hands = hands
        self._recovery = recovery
        self._exits = exits

    def complete(self, turn: Turn) -> Ending:
        """Store the artifacts, pause the sandbox, and say how it all ended."""
        kept = self._recovery.result(turn)
        if kept is None and not self._hands.has_files(turn):
            outcome = _outcome(turn)
            return Ending(_ending(outcome), _detail(outcome), self._hands.missing(turn))
        # What was stored completely is not collected again: later turns may have come since.
        found = self._artifacts(turn) if kept is None else kept.artifacts
        outcome = _outcome(turn)
        hot = self._rests_hot(turn, outcome)
        state = SandboxState.PAUSED if hot else self._hands.quiet(turn)
        paused = "Sandbox paused (ready for continuation)"
        if not turn.x.parked_at:  # it was said when its work was done
            turn.x = self._store.note(turn.x, "sandbox_paused", paused)
        told = turn.x.said.files if turn.x.said else ()
        created = [a.path for a in found if a.path not in told and not a.withheld]
        events = tuple({"type": "file_created", "path": path} for path in created)
        return Ending(_ending(outcome), _detail(outcome), state, events, hot)

    def _rests_hot(self, turn: Turn, outcome: model.Outcome) -> bool:
        """Freeze the container, if we want that and all went its ordinary way."""
        wanted = self._core.settings.hot_seconds and self._core.settings.hot
        ordinary = outcome.kind == "exited" and turn.channel is not None and turn.container
        # A door that may be open ends with the container: the next turn may be isolated.
        shut = self._exits.is_shut(turn)
        return bool(wanted and ordinary and shut) and self._hands.freeze(turn)

    def _artifacts(self, turn: Turn) -> list[model.Artifact]:
        settings, root = self._core.settings, self._hands.root(turn)
        limit = min(settings.artifact_bytes, turn.x.spec.resources.disk)  # holes count, too
        masks = custody.hidden(self._core, turn)
        with products.of(self._core, self._hands, turn, limit) as extra:
            check = self._hands.going(turn, settings.collect_seconds)
            store = self._core.objects
            found = collect.artifacts(
                store, turn.x, root, limit=limit, check=check, made=extra.made, masks=masks
            )
        for problem in masks.clean(extra.problems + found.problems):
            turn.x = self._store.note(turn.x, "artifact_skipped", problem, level="warning")
        if (found.is_cut or extra.is_cut) and _outcome(turn).succeeded:
            turn.x = self._cancelled(turn)
        collect.publish(self._core.objects, turn.x, found)
        for words in collect.withheld(found.artifacts):
            turn.x = self._store.note(turn.x, "artifact_withheld", words, level="warning")
        if kept := [a for a in found.artifacts if not a.withheld]:
            detail = collect.describe(kept)
            turn.x = self._store.note(turn.x, "artifact_generated", detail)
        return found.artifacts

    def _cancelled(self, turn: Turn) -> model.Execution:
        """It ended well, yet not all of it was kept: what counts is who did not want to wait."""
        now = self._store.find(turn.x.id)
        reason = (now and now.cancel_reason) or "cancelled"
        outcome = _outcome(turn).evolve(kind="cancelled", error=reason)
        return self._store.note(turn.x, "", "", outcome=outcome, error=reason)


def _outcome(turn: Turn) -> model.Outcome:
    assert turn.x.outcome is not None
    return turn.x.outcome


def _detail(outcome: model.Outcome) -> str:
    return outcome.error or "Job completed successfully"


def _ending(outcome: model.Outcome) -> State:
    if outcome.succeeded:
        return State.COMPLETED
    return State.CANCELLED if outcome.kind == "cancelled" else State.FAILED
