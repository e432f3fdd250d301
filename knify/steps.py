"""The steps of an execution, one for each state that is not terminal.

Each is idempotent and commits itself by one move of the state: a step that died half-way is
simply taken again by the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from knify import clock, collect, credentials, custody, errors, model, tracing
from knify.agents import base as agents
from knify.agents import registry
from knify.completing import Completing
from knify.core import Core
from knify.exits import Exits
from knify.lifecycle import State
from knify.parking import Parking
from knify.provisioning import Provisioning
from knify.recovery import Recovery
from knify.sandbox import base as sandbox_base
from knify.sandbox import tree
from knify.services import sessions
from knify.store import executions, streams
from knify.turn import Ending, Hands, Turn

log = logging.getLogger(__name__)

TURN_FOLDER = f"{sandbox_base.RUN}/turn"
_MAX_FILE = 1024**2  # bytes of a workspace's file that an adapter may read
Step = Callable[[Turn], Ending | None]


class Steps:
    """What is to be done in each state."""

    def __init__(self, core: Core, hands: Hands, follow: Callable[[Turn], None]) -> None:
        """`follow` hands a running turn to the watcher and returns at once."""
        self._core = core
        self._store = core.store.executions
        self._hands = hands
        self._driver = hands.driver
        self._follow = follow
        self._recovery = Recovery(core, hands)
        self.exits = Exits(core, hands)
        provisioning = Provisioning(core, hands, self._recovery, self.exits)
        self.completing = Completing(core, hands, self._recovery, self.exits)
        self.table: dict[State, Step] = {
            State.PENDING: self.stage,
            State.STAGING: provisioning.begin_provisioning,
            State.PROVISIONING: provisioning.provision,
            State.READY: self.launch,
            State.RUNNING: self.take_over,
            State.COMPLETING: Parking(core, hands).behind_children(self.completing.complete),
        }

    def stage(self, turn: Turn) -> None:
        """Accepted, and now ours."""
        moved = self._store.move(turn.x, State.STAGING, detail="Checking what the job needs")
        turn.x = moved.execution

    def launch(self, turn: Turn) -> None:
        """Start the command. The state is committed first: from then on the marker decides."""
        if turn.channel is None:
            sandbox = self._hands.sandbox(turn)
            if self._recovery.has_run(turn, sandbox):
                self._recovery.catch_up(turn)
                return
            self._hands.open(turn, sandbox)
        nonce = self._core.start_nonce(turn.x.id)
        plan = self._plan(turn, nonce)
        given = custody.take(self._core, turn)
        title = plan.title or f"{turn.x.spec.job_type} executing"
        collect.save_baseline(self._core.objects, turn.x.id, self._hands.root(turn))
        turn.x = self._store.move(
            turn.x,
            State.RUNNING,
            stage="agent_started",
            detail=title,
            entries=said(custody.hidden(self._core, turn).clean(list(plan.events))),
            session_id=plan.session_id,
            start_nonce=nonce,
            started_at=executions.NOW,
            boot=self._hands.boot,
            sandbox=given.changes,
        ).execution
        turn.launched = True
        self._start(turn, plan, given.env)

    def _plan(self, turn: Turn, nonce: str, *, again: bool = False) -> agents.Plan:
        root, spec = self._hands.root(turn), turn.x.spec
        sources = self._core.settings.sources_file
        turn.adapter = registry.adapter(spec.job_type, nonce, actor=spec.actor, sources=sources)
        session = sessions.of(self._core, turn.x, again=again)
        return turn.adapter.prepare(spec, lambda path: _read(root, path), session)

    def _start(self, turn: Turn, plan: agents.Plan, secrets: dict[str, str]) -> None:
        """Send files and command, and hand the turn to the watcher."""
        assert turn.channel is not None
        assert turn.x.start_nonce is not None
        for path, data in plan.files.items():
            self._hands.call(turn.channel.put_file(f"{TURN_FOLDER}/{path}", data))
        for path, data in plan.home.items():
            self._hands.call(turn.channel.put_file(f"{sandbox_base.HOME}/{path}", data))
        way = self.exits.open(turn)  # before anything of the job runs
        command = sandbox_base.Turn(
            execution=turn.x.id,
            nonce=turn.x.start_nonce,
            argv=plan.argv,
            # No record ever holds these.
            env=way | secrets | plan.env | credentials.of(turn.x.spec.actor),
            cwd=agents.folder(turn.x.spec),
            stdin=plan.stdin and f"{TURN_FOLDER}/{plan.stdin}",
        )
        if not self._hands.guarded(turn, turn.channel.run(command)):
            self._ran_before(turn)
            return
        self._hand_over(turn)

    def _start_again(self, turn: Turn) -> None:
        """What somebody was about to start; its conversation may have another id now.

        So may its secrets have other values.
        """
        assert turn.x.start_nonce is not None
        plan = self._plan(turn, turn.x.start_nonce, again=True)
        given = custody.take(self._core, turn)
        if plan.session_id != turn.x.session_id or given.changes:
            session, changes = plan.session_id, given.changes
            turn.x = self._store.note(turn.x, "", "", session_id=session, sandbox=changes)
        self._start(turn, plan, given.env)

    def _ran_before(self, turn: Turn) -> None:
        """The sandbox says so, and its marker proves it: the turn goes on there, or has ended."""
        assert turn.x.start_nonce is not None
        proof = self._driver.started(turn.container, turn.x.id, turn.x.start_nonce)
        if not self._hands.call(proof):
            lied = model.Outcome("error", error="the sandbox says that it ran this job before")
            self.begin_completing(turn, lied, [])
            return
        self._hands.hang_up(turn)
        turn.launched, turn.forgotten = False, True
        self.take_over(turn)

    def _hand_over(self, turn: Turn) -> None:
        turn.started = True
        turn.followed = True
        self._follow(turn)

    def take_over(self, turn: Turn) -> None:
        """Another process began this turn: follow it if it ever started, else start it."""
        x, sandbox = turn.x, self._hands.sandbox(turn)
        turn.container = sandbox.container or ""
        status = self._hands.call(self._driver.inspect(turn.container)) if turn.container else None
        if status is None:
            self.conclude(turn, model.Outcome("host_lost", error="the sandbox is gone"), [])
            return
        assert x.start_nonce is not None
        if status.running and status.stuck:  # unheard by now: what it said stays in the log
            self._hands.guarded(turn, self._driver.stop(turn.container))
        if not self._hands.call(self._driver.started(turn.container, x.id, x.start_nonce)):
            if x.cancel_requested_at:
                reason = x.cancel_reason or "cancelled"
                self.begin_completing(turn, model.Outcome("cancelled", error=reason), [])
                return
            self._hands.open(turn, sandbox)
            self._start_again(turn)
            return
        turn.started = True
        if x.stopping is not None and x.stopping.kind == "flood":
            # Nothing of it would be kept, and reading it may take longer than the next owner lives.
            self._hands.quiet(turn)
            self.begin_completing(turn, x.stopping, [])
            return
        if x.attempts and self._is_overdue(x):  # its line is broken for good, as it seems
            self._hands.quiet(turn)
            late = model.Outcome("timeout", error=f"timed out after {x.spec.timeout:g} s")
            self.begin_completing(turn, late, [])
            return
        if status.running and self._recovery.is_overtaken(turn):
            self._hands.guarded(turn, self._driver.stop(turn.container))
            turn.forgotten = True
        self.exits.rejoin(turn)
        told = x.said or model.Said(session_id=x.session_id)
        masks = custody.hidden(self._core, turn)
        turn.adapter = registry.adapter(x.spec.job_type, x.start_nonce, told, actor=x.spec.actor)
        skips = (n - masks.context(n) for n in (x.out_bytes, x.err_bytes))
        turn.channel = self._hands.guarded(
            turn, self._driver.reattach(turn.container, x.start_nonce, *skips)
        )
        log.info("%s taken over behind line %d", x.id, x.lines)
        self._hand_over(turn)

    def _is_overdue(self, x: model.Execution) -> bool:
        end = (x.started_at or 0) + x.spec.timeout * 1000
        return x.started_at is not None and self._core.store.registry.now_ms() > end

    def conclude(self, turn: Turn, outcome: model.Outcome, farewell: list[dict[str, Any]]) -> None:
        """The command has ended, as far as its sandbox can tell; its stored result knows better."""
        outcome, is_kept = self._recovery.settled(turn, outcome)
        if is_kept:
            lost = "how it ended is known from its stored result; output may be missing here"
            turn.x = self._store.note(turn.x, "output_lost", lost, level="warning")
        self.begin_completing(turn, outcome, farewell)

    def begin_completing(
        self, turn: Turn, outcome: model.Outcome, farewell: list[dict[str, Any]]
    ) -> None:
        """The command has ended."""
        outcome = self.exits.settle(turn, outcome)
        turn.x = self._store.move(
            turn.x,
            State.COMPLETING,
            detail=outcome.error or "The command has ended",
            entries=said(farewell),
            outcome=outcome,
            exit_code=outcome.exit_code,
            error=outcome.error,
            usage=outcome.usage,
        ).execution
        tracing.command(turn.x, turn.x.state_changed_at, outcome)


def said(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One output entry that holds the events, or none."""
    now = clock.now_ms()
    return [streams.entry_json(now, stamped(events, now))] if events else []


def stamped(events: list[dict[str, Any]], now: int) -> list[dict[str, Any]]:
    """Events with the time at which they were made."""
    stamp = clock.rfc3339(now)
    return [{"type": event["type"], "timestamp": stamp} | event for event in events]


def _read(root: Path, path: str) -> bytes:
    """One file of the workspace for an adapter. NotFound, TooLarge."""
    with tree.open_file(root, path) as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise errors.TooLarge(f"{path} is larger than {_MAX_FILE // 1024} KiB")
    return data
