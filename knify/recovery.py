"""What an execution did that Redis forgot, because Redis was put back to an older state.

The nonce of a start follows from the execution's id, so any owner can recompute it and ask the
sandbox. The stored result says how an execution ended whose sandbox cannot tell any more.
"""

from __future__ import annotations

import time

from knify import model
from knify.core import Core
from knify.lifecycle import SandboxState, State
from knify.sandbox import template
from knify.services import artifacts as stored
from knify.store import executions
from knify.turn import Hands, Turn

_START_SECONDS = 10.0  # between the marker of a start and its line in the log: milliseconds
_PAUSE = 0.5
_UNKNOWN = "Redis was put back to an older state: how this job ended is not known any more"


class Recovery:
    """Questions to the sandbox and to the object store, before anything is done twice."""

    def __init__(self, core: Core, hands: Hands) -> None:
        self._core = core
        self._hands = hands
        self._driver = hands.driver

    def has_run(self, turn: Turn, sandbox: model.Sandbox) -> bool:
        """Whether its command was started already, though its state says that it was not.

        `turn.container` is then set, if the container is still there. A first claim of a further
        turn is believed: looking would mean to read the log of the turn before.
        """
        if turn.x.fence == 1 and sandbox.state is SandboxState.PAUSED:
            return False
        container = sandbox.container or template.container_name(sandbox.id)
        status = self._hands.call(self._driver.inspect(container))
        if status is not None:
            nonce = self._core.start_nonce(turn.x.id)
            if self._hands.call(self._driver.started(status.id, turn.x.id, nonce)):
                turn.container = status.id
                return True
        return turn.x.is_after_rollback and self.result(turn) is not None

    def catch_up(self, turn: Turn) -> None:
        """Its command was started, which Redis forgot: straight on to where that is followed."""
        turn.forgotten = True
        store = self._core.store.executions
        known = "Redis was put back to an older state; this job had been started before"
        turn.x = store.note(turn.x, "store_rolled_back", known, level="warning")
        if turn.x.state is State.PROVISIONING:
            here = {"state": SandboxState.ACTIVE, "container": turn.container}
            sandbox = here if turn.container else None
            turn.x = store.move(
                turn.x, State.READY, detail="Files were in", sandbox=sandbox
            ).execution
        turn.x = store.move(
            turn.x,
            State.RUNNING,
            stage="agent_started",
            detail=f"{turn.x.spec.job_type} was executing",
            start_nonce=self._core.start_nonce(turn.x.id),
            started_at=executions.NOW,
        ).execution

    def result(self, turn: Turn) -> stored.Result | None:
        """What was stored when its command had ended; None for what has just been started."""
        return None if turn.launched else stored.result(self._core.objects, turn.x.id)

    def is_overtaken(self, turn: Turn) -> bool:
        """Whether the container, which runs, runs a later turn, one that Redis forgot."""
        assert turn.x.start_nonce is not None
        deadline = time.monotonic() + _START_SECONDS
        while not self._hands.call(self._driver.logged(turn.container, turn.x.start_nonce)):
            if time.monotonic() > deadline:
                return True
            time.sleep(_PAUSE)
        return False

    def settled(self, turn: Turn, outcome: model.Outcome) -> tuple[model.Outcome, bool]:
        """How the turn ended, and whether that is known from its stored result only."""
        if outcome.kind not in ("monitor_lost", "host_lost") or turn.launched:
            return outcome, False
        kept = self.result(turn)
        if kept is not None:
            return kept.outcome, True
        if outcome.kind == "monitor_lost" and turn.x.boot not in (None, self._hands.boot):
            restarted = "the machine was restarted"
            return model.Outcome("host_lost", outcome.exit_code, restarted), False
        if outcome.kind == "monitor_lost" and turn.forgotten:
            return model.Outcome("monitor_lost", outcome.exit_code, _UNKNOWN), False
        return outcome, False
