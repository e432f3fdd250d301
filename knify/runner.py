"""Advancing an execution: a chain of short steps until its command runs, and again at its end.

Whoever holds the lease takes steps (`steps.py`). While the command runs, the watcher follows it
(`watch.py`) and then comes back here for the rest.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import random
from collections.abc import Callable
from typing import Any

import redis

from knify import clock, collect, counters, errors, failpoints, leases, logs, model, tracing
from knify.core import Core
from knify.keeper import Keeper
from knify.lifecycle import SandboxState, State
from knify.services import jobs
from knify.steps import Step, Steps, stamped
from knify.store.replies import Claim
from knify.turn import Bridge, Ending, Hands, Turn

log = logging.getLogger(__name__)

#: Times that a step may fail by the host's fault before the execution does.
_ATTEMPTS = 5
_ATTEMPTS_LATE = 300  # once the command ran: hours, since its result is worth waiting for
_LONGEST_DELAY = 60_000  # ms
_ROOM_DELAY = 3_000  # ms, while Podman has no room
_BUSY_DELAY = 1_000  # ms, while another job prepares what this one needs as well


class Runner:
    """Takes executions through their states on one node."""

    def __init__(
        self, core: Core, bridge: Bridge, held: leases.Leases, follow: Callable[[Turn], None]
    ) -> None:
        """`follow` hands a running turn to the watcher and returns at once."""
        self._core = core
        self._store = core.store.executions
        self._leases = held
        self._hands = Hands(core, bridge, held)
        self._steps = Steps(core, self._hands, follow)
        self.keeper = Keeper(core, bridge, held)

    def advance(self, execution_id: str) -> None:
        """Do what is to be done next for this execution, if it is free and its time has come."""
        claim = self._claim(execution_id)
        if claim.verdict in ("elsewhere", "full") and claim.other:
            self._core.hints.advance(execution_id, claim.other)
        elif claim.verdict == "draining":
            self._pass_on(execution_id)
        elif claim.verdict == "full":
            self.keeper.give_memory()
        if claim.next:
            jobs.hint_all(self._core, [claim.next], self._hands.node)
        if claim.execution is not None:
            self._go_on(Turn(claim.execution))

    def _claim(self, execution_id: str) -> Claim:
        """Take the lease; what this node still does to the sandbox or holds of it goes first."""
        claim = self._leases.claim(execution_id)
        if claim.verdict in ("kept", "stale", "leftover"):
            try:
                if self.keeper.clear(claim):
                    claim = self._leases.claim(execution_id)
            except errors.SandboxError as failed:
                log.warning("%s waits for its sandbox: %s", execution_id, failed)
        return claim

    def _pass_on(self, execution_id: str) -> None:
        """This node takes no new ones: to any other, if there is one; else it waits in the line."""
        registry = self._core.store.registry
        others = sorted(set(registry.nodes()) - registry.closed())
        if others:
            self._core.hints.advance(execution_id, random.choice(others))  # noqa: S311

    def conclude(self, turn: Turn, outcome: model.Outcome, farewell: list[dict[str, Any]]) -> None:
        """The command has ended: finish the execution. Called by the watcher, from a thread.

        `farewell`: the adapter's last events.
        """

        def conclude(turn: Turn) -> None:
            self._steps.conclude(turn, outcome, farewell)

        # A copy: the thread that began to follow may still look at its own, whether it is done.
        self._go_on(dataclasses.replace(turn, followed=False), conclude)

    def _go_on(self, turn: Turn, step: Step | None = None) -> None:
        with logs.about(execution=turn.x.id, sandbox=turn.x.sandbox_id or ""):
            if step is None:
                log.info("%s, %s, claimed by process %d", turn.x.id, turn.x.state, os.getpid())
            self._take_steps(turn, step)

    def _take_steps(self, turn: Turn, step: Step | None) -> None:
        """Until the turn is followed or has ended, or the lease is lost."""
        try:
            step = step or self._next(turn)
            while step is not None and not (turn.followed or turn.parked):
                with tracing.step(step.__name__.lstrip("_"), turn.x):
                    self._take(turn, step)
                step = self._next(turn)
        except errors.LeaseLost as lost:
            log.warning("%s left alone: %s", turn.x.id, lost)
            self._let_go(turn)
        except redis.RedisError as away:
            log.warning("%s left alone, Redis is away: %s", turn.x.id, away)
            self._let_go(turn)
        except (errors.SandboxError, errors.ObjectStoreError) as failed:
            self._try_again(turn, failed)
        except errors.KnifyError as failed:
            self._fail(turn, failed.message)
        except Exception as failed:  # a bug: the user gets an end, the log gets the trace
            log.exception("%s: a step failed", turn.x.id)
            self._fail(turn, f"internal error: {type(failed).__name__}")
        finally:
            if not turn.followed:
                self._let_go(turn)

    def _take(self, turn: Turn, step: Step) -> None:
        failpoints.hit(f"step.{step.__name__}", "before")
        ending = step(turn)
        failpoints.hit(f"step.{step.__name__}", "after")
        if ending is not None:
            self._end(turn, ending)

    def _next(self, turn: Turn) -> Step | None:
        x = turn.x
        if x.cancel_requested_at and x.state in (
            State.PENDING,
            State.STAGING,
            State.PROVISIONING,
            State.READY,
        ):
            return self._cancel_early
        late = self._late(x)
        if late is not None:
            return self._given_up(late)
        return self._steps.table.get(x.state)

    def _late(self, x: model.Execution) -> str | None:
        """Why it has had its time in this state; time in which no worker lived does not count."""
        limits = {
            State.STAGING: ("staged", x.spec.stage_timeout),
            State.PROVISIONING: ("provisioned", x.spec.provision_timeout),
        }
        what, seconds = limits.get(x.state, ("", 0.0))
        if not what or clock.now_ms() - x.state_changed_at < seconds * 500:  # not even half of it
            return None
        registry = self._core.store.registry
        since = registry.watched_since()
        if since is None:
            return None
        passed = registry.now_ms() - max(x.state_changed_at, since)
        return f"could not be {what} within {seconds:g} s" if passed > seconds * 1000 else None

    def _given_up(self, late: str) -> Step:
        def give_up(turn: Turn) -> Ending:
            return Ending(State.FAILED, late, self._hands.quiet(turn))

        return give_up

    def _cancel_early(self, turn: Turn) -> Ending:
        """Nothing of the job has run yet."""
        reason = turn.x.cancel_reason or "cancelled"
        return Ending(State.CANCELLED, reason, self._hands.quiet(turn))

    def _end(self, turn: Turn, ending: Ending) -> None:
        """The one place where an execution ends."""
        failpoints.hit("step.end", "before")
        self._hands.hang_up(turn)
        now, outcome = clock.now_ms(), turn.x.outcome
        error = None if ending.to is State.COMPLETED else ending.detail
        to, sandbox = _after_failure(turn.x, ending, self._rest(ending))
        view = State.FAILED if to is State.FAILED_PRESERVED else to
        code = outcome.exit_code if outcome else None
        told = {name: getattr(outcome, name, None) for name in ("result", "usage", "cost_usd")}
        used = self._steps.exits.used(turn)  # whatever way led here
        if used is not None and used.calls:
            told |= {"usage": used.shown(), "cost_usd": used.cost_usd}
        final = jobs.final_entry(view, now, error=error, exit_code=code, **told)
        final["e"] = stamped(list(ending.events), now) + final["e"]
        moved = self._store.move(
            turn.x,
            to,
            detail=ending.detail,
            level="info" if error is None else "error",
            sandbox=sandbox,
            entries=[final],
            error=error,
            usage=_priced(told["usage"], told["cost_usd"]),
        )
        if turn.x.state is State.RUNNING:  # it came to no end of its own
            ended = moved.execution.state_changed_at
            tracing.command(turn.x, ended, outcome or model.Outcome("error"))
        turn.x = moved.execution
        self._leases.drop(turn.x.id)
        _measure(turn.x)
        log.info("%s %s: %s", turn.x.id, to, ending.detail)
        jobs.hint_all(self._core, moved.hints, self._hands.node)
        if ending.hot:
            self.keeper.cooling.set()
        self._tidy(turn)
        failpoints.hit("step.end", "after")

    def _rest(self, ending: Ending) -> dict[str, Any]:
        """How the turn leaves its sandbox."""
        if not ending.sandbox:
            return {}
        ms = int(self._core.settings.hot_seconds * 1000)
        return {"state": ending.sandbox} | ({"hot_ms": ms} if ending.hot else {"hot_until": None})

    def _tidy(self, turn: Turn) -> None:
        try:
            collect.forget_baseline(self._core.objects, turn.x.id)
        except errors.ObjectStoreError as failed:
            log.warning("%s: its baseline stays behind: %s", turn.x.id, failed)

    def _fail(self, turn: Turn, message: str) -> None:
        """End as failed, whatever the state.

        Not before the sandbox is quiet: an ended execution gives its slot away. While Podman
        is away, the execution waits for it, and so does its end.
        """
        try:
            self._end(turn, Ending(State.FAILED, message, self._hands.quiet(turn)))
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("%s could not be failed yet: %s", turn.x.id, failed)
            self._give_back(turn, turn.x.attempts)

    def _try_again(self, turn: Turn, failed: errors.KnifyError) -> None:
        """The host failed us: give the execution back for a moment, or fail it for good."""
        if isinstance(failed, errors.NodeBusy):
            self._give_back(turn, turn.x.attempts, _BUSY_DELAY)
            return
        attempts = turn.x.attempts + 1
        log.warning("%s: attempt %d: %s", turn.x.id, attempts, failed.message)
        counters.add("knify_step_failures")
        if isinstance(failed, errors.NodeFull):  # not its fault: it waits until there is room
            self.keeper.make_room()
            self._give_back(turn, turn.x.attempts, _ROOM_DELAY)
            return
        late = turn.x.state is State.COMPLETING or turn.started
        if attempts >= (_ATTEMPTS_LATE if late else _ATTEMPTS):
            self._fail(turn, failed.message)
            return
        self._give_back(turn, attempts)

    def _give_back(self, turn: Turn, attempts: int, delay: int | None = None) -> None:
        """Let the execution be taken again in a moment (`delay` in ms; None: by the attempts)."""
        if delay is None:
            delay = min(_LONGEST_DELAY, 250 * 4 ** min(attempts, 10))
        self._leases.drop(turn.x.id)
        try:
            self._store.release(turn.x, delay_ms=delay, attempts=attempts)
        except (errors.KnifyError, redis.RedisError):
            log.warning("%s could not be given back; its lease will run out", turn.x.id)
        self._let_go(turn)

    def _let_go(self, turn: Turn) -> None:
        self._hands.hang_up(turn)
        self._leases.drop(turn.x.id)


def _measure(x: model.Execution) -> None:
    if x.started_at is not None:
        start, run = x.started_at - x.created_at, x.state_changed_at - x.started_at
        counters.observe("knify_execution_start_seconds", start / 1000)
        counters.observe("knify_execution_run_seconds", run / 1000)


def _after_failure(
    x: model.Execution, ending: Ending, sandbox: dict[str, Any]
) -> tuple[State, dict[str, Any]]:
    """The state that it ends in, and its sandbox's changes, as its `failure_action` wants it."""
    if ending.to is not State.FAILED:
        return ending.to, sandbox
    if x.spec.failure_action == "destroy":
        return ending.to, sandbox | {"doomed": "1"}  # goes with its last turn, as a rule this one
    # Without files there is nothing to look at or to go on with.
    preserved = x.spec.failure_action == "preserve" and ending.sandbox is SandboxState.PAUSED
    return State.FAILED_PRESERVED if preserved else ending.to, sandbox


def _priced(usage: dict[str, int] | None, cost_usd: float | None) -> dict[str, float] | None:
    """A job's usage, with what it cost where that is known."""
    if cost_usd is None:
        return dict(usage) if usage is not None else None
    return {**(usage or {}), "cost_usd": cost_usd}
