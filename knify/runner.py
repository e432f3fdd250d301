"""Advancing an execution: a chain of short steps, each idempotent, each committed by itself.

The state names the next step. Whoever holds the lease takes steps until the command runs; then
the watcher follows it (`watch.py`) and, at its end, comes back here for the last steps. A step
that dies half-way is simply taken again by the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from knify import clock, collect, errors, ids, leases, model
from knify.agents import base as agents
from knify.agents import registry
from knify.core import Core
from knify.lifecycle import SandboxState, State
from knify.sandbox import base as sandbox_base
from knify.sandbox import tree
from knify.services import jobs
from knify.store import streams

log = logging.getLogger(__name__)

TURN_FOLDER = f"{sandbox_base.RUN}/turn"
_ATTEMPTS = 5  # times that a step may fail by the host's fault before the execution does


class Bridge(Protocol):
    """The asynchronous driver, callable from a thread."""

    @property
    def driver(self) -> sandbox_base.Driver:
        """The driver itself."""

    def call(self, coroutine: Any, seconds: float) -> Any:
        """Run in the driver's loop and wait. SandboxTimeout after `seconds`."""


@dataclass(slots=True)
class Turn:
    """An execution on its way, and the open line to its sandbox once there is one."""

    x: model.Execution
    channel: sandbox_base.Channel | None = None
    adapter: agents.Adapter | None = None
    container: str = ""
    followed: bool = False  # the watcher has it now


class Runner:
    """Takes executions through their states on one node."""

    def __init__(
        self, core: Core, bridge: Bridge, held: leases.Leases, follow: Callable[[Turn], None]
    ) -> None:
        """`follow` hands a running turn to the watcher and returns at once."""
        self._core = core
        self._store = core.store.executions
        self._bridge = bridge
        self._driver = bridge.driver
        self._leases = held
        self._follow = follow
        self._seconds = min(10.0, held.seconds * 0.6)  # for one call that changes Podman
        self._steps: dict[State, Callable[[Turn], None]] = {
            State.PENDING: self._stage,
            State.STAGING: self._begin_provisioning,
            State.PROVISIONING: self._provision,
            State.READY: self._launch,
            State.RUNNING: self._take_over,
            State.COMPLETING: self._complete,
        }

    def advance(self, execution_id: str) -> None:
        """Do what is to be done next for this execution, if it is free and its time has come."""
        claim = self._leases.claim(execution_id)
        if claim.verdict == "elsewhere":
            self._core.hints.advance(execution_id, claim.other)
        if claim.execution is not None:
            self.go_on(Turn(claim.execution))

    def conclude(self, turn: Turn, outcome: model.Outcome, farewell: list[dict[str, Any]]) -> None:
        """The command has ended: finish the execution. Called by the watcher, from a thread."""
        turn.followed = False
        self.go_on(turn, lambda turn: self._begin_completing(turn, outcome, farewell))

    def go_on(self, turn: Turn, first: Callable[[Turn], None] | None = None) -> None:
        """Take steps until the turn is followed or has ended, or the lease is lost."""
        try:
            step = first or self._next(turn)
            while step is not None and not turn.followed:
                step(turn)
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

    def _next(self, turn: Turn) -> Callable[[Turn], None] | None:
        x = turn.x
        early = x.state not in (State.RUNNING, State.COMPLETING)
        if x.cancel_requested_at and early and x.state in self._steps:
            return self._cancel_early
        return self._steps.get(x.state)

    # The steps, in their order

    def _stage(self, turn: Turn) -> None:
        turn.x = self._store.move(
            turn.x, State.STAGING, detail="Checking what the job needs"
        ).execution

    def _begin_provisioning(self, turn: Turn) -> None:
        image = turn.x.spec.image or self._core.settings.base_image
        if self._call(self._driver.image(image)) is None:
            raise errors.ImageMissing(f"this node has no image {image}")
        turn.x = self._store.move(
            turn.x,
            State.PROVISIONING,
            detail="Preparing the sandbox",
            sandbox={"node": self._leases.owner.node},
        ).execution

    def _provision(self, turn: Turn) -> None:
        sandbox = self._sandbox(turn)
        fresh = sandbox.state is SandboxState.CREATING
        self._open(turn, sandbox)
        if fresh:
            turn.x = self._store.note(
                turn.x,
                "sandbox_created",
                "Sandbox provisioned",
                sandbox={"container": turn.container},
            )
            self._mount(turn, sandbox)
        else:
            turn.x = self._store.note(turn.x, "sandbox_resumed", "Sandbox resumed, files in place")
        turn.x = self._store.move(
            turn.x,
            State.READY,
            detail="Files are in",
            sandbox={"state": SandboxState.ACTIVE, "container": turn.container},
        ).execution

    def _mount(self, turn: Turn, sandbox: model.Sandbox) -> None:
        if sandbox.workspace_id is None:
            return
        workspace = self._core.store.registry.find_workspace(sandbox.workspace_id)
        if workspace is None:
            raise errors.NotFound("the workspace was deleted before the job began")
        assert turn.channel is not None
        with self._core.sealed.open(workspace.key) as reader:
            self._bridge.call(
                turn.channel.put_tar(sandbox_base.WORKSPACE, tree.chunks(reader), reader.size),
                600,
            )
        turn.x = self._store.note(
            turn.x,
            "workspace_mounted",
            f"{workspace.name}@{workspace.version}: {workspace.files} files",
        )

    def _launch(self, turn: Turn) -> None:
        if turn.channel is None:
            self._open(turn, self._sandbox(turn))
        nonce = turn.x.start_nonce or ids.nonce()
        plan = self._plan(turn, nonce)
        collect.save_baseline(self._core.objects, turn.x.id, self._root(turn))
        assert turn.adapter is not None
        opening = turn.adapter.begin()
        entries = [streams.entry_json(clock.now_ms(), _stamped(opening))] if opening else []
        turn.x = self._store.move(
            turn.x,
            State.RUNNING,
            stage="agent_started",
            detail=f"{turn.x.spec.job_type} executing",
            entries=entries,
            start_nonce=nonce,
            started_at="@now",
        ).execution
        self._start(turn, plan)

    def _start(self, turn: Turn, plan: agents.Plan) -> None:
        """Send files and command, and hand the turn to the watcher."""
        assert turn.channel is not None
        assert turn.x.start_nonce is not None
        for path, data in plan.files.items():
            self._call(turn.channel.put_file(f"{TURN_FOLDER}/{path}", data))
        command = sandbox_base.Turn(
            execution=turn.x.id, nonce=turn.x.start_nonce, argv=plan.argv, env=dict(plan.env)
        )
        self._guarded(turn, turn.channel.run(command))
        self._hand_over(turn)

    def _take_over(self, turn: Turn) -> None:
        """Another process began this turn: follow it if it ever started, else start it."""
        x, sandbox = turn.x, self._sandbox(turn)
        turn.container = sandbox.container or ""
        status = self._call(self._driver.inspect(turn.container)) if turn.container else None
        if status is None:
            gone = model.Outcome("host_lost", error="the sandbox is gone")
            self._begin_completing(turn, gone, [])
            return
        assert x.start_nonce is not None
        if not self._call(self._driver.started(turn.container, x.id)):
            self._open(turn, sandbox)
            self._start(turn, self._plan(turn, x.start_nonce))
            return
        turn.adapter = registry.adapter(x.spec, x.start_nonce)
        turn.channel = self._guarded(
            turn, self._driver.reattach(turn.container, x.start_nonce, x.out_bytes, x.err_bytes)
        )
        log.info("%s taken over behind line %d", x.id, x.lines)
        self._hand_over(turn)

    def _begin_completing(
        self, turn: Turn, outcome: model.Outcome, farewell: list[dict[str, Any]]
    ) -> None:
        entries = [streams.entry_json(clock.now_ms(), _stamped(farewell))] if farewell else []
        turn.x = self._store.move(
            turn.x,
            State.COMPLETING,
            entries=entries,
            detail=outcome.error or "The command has ended",
            outcome=outcome,
            exit_code=outcome.exit_code,
            error=outcome.error,
        ).execution

    def _complete(self, turn: Turn) -> None:
        """Store the artifacts, pause the sandbox, and say how it all ended."""
        x, outcome = turn.x, turn.x.outcome
        assert outcome is not None
        turn.container = turn.container or self._sandbox(turn).container or ""
        found: list[model.Artifact] = []
        if outcome.kind != "host_lost":
            found = self._artifacts(turn)
            self._guarded(turn, self._driver.stop(turn.container))
            turn.x = self._store.note(
                turn.x, "sandbox_paused", "Sandbox paused (ready for continuation)"
            )
        state = SandboxState.LOST if outcome.kind == "host_lost" else SandboxState.PAUSED
        to = _ending(outcome)
        created = [{"type": "file_created", "path": artifact.path} for artifact in found]
        self._end(turn, to, outcome.error or "Job completed successfully", state, created)
        log.info("%s %s", x.id, to)

    def _artifacts(self, turn: Turn) -> list[model.Artifact]:
        found = collect.artifacts(
            self._core.objects,
            turn.x,
            self._root(turn),
            limit=self._core.settings.artifact_bytes,
        )
        for problem in found.problems:
            turn.x = self._store.note(turn.x, "artifact_skipped", problem, level="warning")
        if found.artifacts:
            turn.x = self._store.note(
                turn.x, "artifact_generated", collect.describe(found.artifacts)
            )
        return found.artifacts

    # The ends

    def _end(
        self,
        turn: Turn,
        to: State,
        detail: str,
        sandbox: SandboxState | None,
        farewell: list[dict[str, Any]],
        **fields: Any,
    ) -> None:
        now, outcome = clock.now_ms(), turn.x.outcome
        self._let_go_channel(turn)
        final = jobs.final_entry(
            _view(to),
            now,
            error=None if to is State.COMPLETED else detail,
            exit_code=outcome.exit_code if outcome else None,
        )
        final["e"] = _stamped(farewell) + final["e"]
        moved = self._store.move(
            turn.x,
            to,
            detail=detail,
            level="info" if to is State.COMPLETED else "error",
            sandbox={"state": sandbox} if sandbox else None,
            entries=[final],
            **fields,
        )
        turn.x = moved.execution
        self._leases.drop(turn.x.id)
        jobs.hint_all(self._core, moved.hints)

    def _cancel_early(self, turn: Turn) -> None:
        reason = turn.x.cancel_reason or "cancelled"
        self._end(turn, State.CANCELLED, reason, self._quiet(turn), [], error=reason)

    def _fail(self, turn: Turn, message: str) -> None:
        """End as failed, whatever the state; if that fails too, the sweeper brings it back."""
        try:
            self._end(turn, State.FAILED, message, self._quiet(turn), [], error=message)
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("%s could not be failed: %s", turn.x.id, failed)
            self._let_go(turn)

    def _quiet(self, turn: Turn) -> SandboxState | None:
        """Stop what may run in the sandbox; the sandbox's state after that."""
        sandbox = self._sandbox(turn)
        container = turn.container or sandbox.container
        if not container:
            return None
        self._guarded(turn, self._driver.stop(container))
        fresh = sandbox.state is SandboxState.CREATING
        return None if fresh else SandboxState.PAUSED

    def _try_again(self, turn: Turn, failed: errors.KnifyError) -> None:
        """The host failed us: give the execution back for a moment, or fail it for good."""
        attempts = turn.x.attempts + 1
        log.warning("%s: attempt %d: %s", turn.x.id, attempts, failed.message)
        if attempts >= _ATTEMPTS:
            self._fail(turn, failed.message)
            return
        self._let_go_channel(turn)
        try:
            delay = 250 * 4**attempts
            self._store.release(turn.x, delay_ms=delay, attempts=attempts)
        except (errors.LeaseLost, redis.RedisError):
            log.warning("%s could not be given back; its lease will run out", turn.x.id)
        self._leases.drop(turn.x.id)

    def _let_go(self, turn: Turn) -> None:
        self._let_go_channel(turn)
        self._leases.drop(turn.x.id)

    def _let_go_channel(self, turn: Turn) -> None:
        if turn.channel is not None:
            channel, turn.channel = turn.channel, None
            try:
                self._call(channel.close())
            except errors.SandboxError as failed:
                log.debug("hanging up failed: %s", failed)

    # Parts of steps

    def _hand_over(self, turn: Turn) -> None:
        turn.followed = True
        self._follow(turn)

    def _sandbox(self, turn: Turn) -> model.Sandbox:
        found = self._core.store.sandboxes.find(turn.x.sandbox_id or "")
        if found is None:
            raise errors.NotFound("the sandbox's record is gone")
        return found

    def _open(self, turn: Turn, sandbox: model.Sandbox) -> None:
        """Make or resume the container, nothing running in it, and attach."""
        request = sandbox_base.SandboxRequest(
            sandbox_id=sandbox.id,
            image=sandbox.image,
            resources=sandbox.resources,
            tenant=sandbox.tenant,
        )
        if sandbox.state is SandboxState.CREATING:
            turn.container = self._guarded(turn, self._driver.create(request))
        else:
            turn.container = sandbox.container or ""
        status = self._call(self._driver.inspect(turn.container))
        if status is None:
            raise errors.NotFound("the sandbox's container is gone")
        if status.running:  # a step that died half-way left it so
            self._guarded(turn, self._driver.stop(turn.container))
        turn.channel = self._guarded(turn, self._driver.attach(turn.container))

    def _plan(self, turn: Turn, nonce: str) -> agents.Plan:
        root = self._root(turn)
        turn.adapter = registry.adapter(turn.x.spec, nonce)
        return turn.adapter.prepare(lambda path: tree.read_file(root, path, registry.MAX_FILE))

    def _root(self, turn: Turn) -> Any:
        return self._call(self._driver.workspace_root(turn.x.sandbox_id or ""))

    def _guarded(self, turn: Turn, coroutine: Any) -> Any:
        """A call that changes Podman: only while the lease outlasts it."""
        try:
            self._leases.check(turn.x, self._seconds)
        except errors.LeaseLost:
            coroutine.close()
            raise
        return self._call(coroutine)

    def _call(self, coroutine: Any) -> Any:
        return self._bridge.call(coroutine, self._seconds)


def _ending(outcome: model.Outcome) -> State:
    if outcome.succeeded:
        return State.COMPLETED
    return State.CANCELLED if outcome.kind == "cancelled" else State.FAILED


def _view(state: State) -> str:
    return "failed" if state is State.FAILED_PRESERVED else state.value


def _stamped(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with the time they were made."""
    stamp = clock.rfc3339(clock.now_ms())
    return [{"type": event["type"], "timestamp": stamp} | event for event in events]
