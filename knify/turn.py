"""A turn on its way, and the hands with which its steps reach into the sandbox."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from knify import conflicts, errors, leases, masking, model, rescue
from knify.agents import base as agents
from knify.core import Core
from knify.lifecycle import SandboxState, State
from knify.sandbox import base as sandbox_base

log = logging.getLogger(__name__)

FILES_SECONDS = 600.0  # for calls that move all files of a sandbox


@dataclass(slots=True)
class Turn:
    """An execution on its way, and the open line to its sandbox once there is one."""

    x: model.Execution
    channel: sandbox_base.Channel | None = None
    adapter: agents.Adapter | None = None
    masks: masking.Masks | None = None  # see custody.hidden; None: not looked for yet
    container: str = ""
    root: Path | None = None  # its workspace as a folder of this host, once it was asked for
    followed: bool = False  # the watcher has it now
    parked: bool = False  # all is done, and its last child will wake it
    started: bool = False  # its command is known to have been started
    launched: bool = False  # by this very process, so nothing of it can have been stored before
    is_shut: bool = False  # its gateway has said that it lets nothing of it out any more
    forgotten: bool = False  # Redis, put back to an older state, did not know of its start or end


@dataclass(frozen=True, slots=True)
class Ending:
    """What a step found out to be the end of an execution."""

    to: State
    detail: str
    sandbox: SandboxState | None  # its sandbox's state from now on; None leaves it
    events: tuple[dict[str, Any], ...] = ()  # said last, before `completed`
    hot: bool = False  # its container was left frozen


class Bridge(Protocol):
    """The asynchronous driver, callable from a thread."""

    @property
    def driver(self) -> sandbox_base.Driver:
        """The driver itself."""

    def call(self, coroutine: Any, seconds: float) -> Any:
        """Run in the driver's loop and wait. SandboxTimeout after `seconds`."""


#: How long a job that ended by itself still collects files after its cancellation.
CUT_SECONDS = 5.0


class Hands:
    """Podman for the steps: each change only while the lease outlasts it."""

    def __init__(self, core: Core, bridge: Bridge, held: leases.Leases) -> None:
        self.driver = bridge.driver
        self.node = held.owner.node
        self.boot = held.owner.boot_id
        self._core = core
        self._bridge = bridge
        self._leases = held
        self._seconds = min(10.0, held.seconds * 0.6)

    def call(self, coroutine: Any, seconds: float | None = None) -> Any:
        """A call that changes nothing outside the turn's own sandbox."""
        return self._bridge.call(coroutine, seconds or self._seconds)

    def going(self, turn: Turn, seconds: float) -> Callable[[], None]:
        """A check for long work: LeaseLost when it is no longer ours, OutOfTime after `seconds`.

        CutShort some seconds after somebody cancelled; not of what was cancelled before its end:
        there this is what the end is for.
        """
        end, is_cut, outcome = time.monotonic() + seconds, False, turn.x.outcome
        may_be_cut = outcome is None or outcome.kind != "cancelled"

        def check() -> None:
            nonlocal end, is_cut
            self._leases.check(turn.x, 0.1)  # s: this or nothing, once it is lost
            now = time.monotonic()
            if may_be_cut and not is_cut and self._leases.is_cancelled(turn.x):
                is_cut, end = True, min(end, now + CUT_SECONDS)
            if now > end:
                raise errors.CutShort if is_cut else errors.OutOfTime

        return check

    def is_cancelled(self, turn: Turn) -> bool:
        """Whether somebody asked for its cancellation by now."""
        return self._leases.is_cancelled(turn.x)

    def guarded(self, turn: Turn, coroutine: Any, seconds: float | None = None) -> Any:
        """A call that changes Podman. LeaseLost, without a call, when the lease is too short.

        A call of more than some `seconds` may outlast the lease: only what makes the sandbox's
        container itself, so that nobody else can have touched it, and is done anew if we die.
        """
        try:
            self._leases.check(turn.x, self._seconds)
        except errors.LeaseLost:
            coroutine.close()
            raise
        return self.call(coroutine, seconds)

    def sandbox(self, turn: Turn) -> model.Sandbox:
        """The record of the turn's sandbox."""
        found = self._core.store.sandboxes.find(turn.x.sandbox_id or "")
        if found is None:
            raise errors.NotFound("the sandbox's record is gone")
        return found

    def root(self, turn: Turn) -> Path:
        """Its workspace as a folder of this host; hostile."""
        if turn.root is None:
            turn.root = self.call(self.driver.workspace_root(turn.x.sandbox_id or ""))
        assert turn.root is not None
        return turn.root

    def open(self, turn: Turn, sandbox: model.Sandbox) -> sandbox_base.Channel:
        """Make or resume the container, nothing running in it, and attach."""
        turn.container = turn.container or sandbox.container or ""
        if turn.container == "" and sandbox.state is SandboxState.CREATING:
            turn.container = self.guarded(turn, self.driver.create(request(sandbox)))
        try:
            turn.channel = self._start(turn)
        except errors.SandboxGone:
            turn.channel = self._rebuild(turn, sandbox)
        return turn.channel

    def thaw(self, turn: Turn, sandbox: model.Sandbox) -> bool:
        """Go on in a container that was left frozen; False: it is to be opened like any other."""
        if not sandbox.hot_until or not sandbox.container:
            return False
        try:
            turn.channel = self.guarded(turn, self.driver.thaw(sandbox.container))
        except errors.SandboxError as failed:
            log.warning("%s cannot be thawed, it starts anew: %s", sandbox.id, failed)
            return False
        turn.container = sandbox.container
        return True

    def _start(self, turn: Turn) -> sandbox_base.Channel:
        try:
            return self._attach(turn)
        except errors.SandboxRuns:  # a step that died half-way left it so
            self.guarded(turn, self.driver.stop(turn.container))
            return self._attach(turn)

    def _rebuild(self, turn: Turn, sandbox: model.Sandbox) -> sandbox_base.Channel:
        """The container is gone or beyond Podman's help: another one over the same volumes."""
        try:
            rebuild = self.driver.rebuild(request(sandbox))
            turn.container = self.guarded(turn, rebuild, FILES_SECONDS)
        except errors.SandboxGone as gone:
            raise conflicts.SandboxLost("the sandbox's files are gone") from gone
        turn.x = self._core.store.executions.note(
            turn.x,
            "sandbox_rebuilt",
            "Sandbox rebuilt over its files: its container was lost",
            level="warning",
            sandbox={"container": turn.container},
        )
        return self._start(turn)

    def _attach(self, turn: Turn) -> sandbox_base.Channel:
        channel: sandbox_base.Channel = self.guarded(turn, self.driver.attach(turn.container))
        return channel

    def quiet(self, turn: Turn) -> SandboxState | None:
        """Stop what may run in the sandbox; the state that the sandbox is in after that."""
        sandbox = self.sandbox(turn)
        container = turn.container or sandbox.container
        if not container:
            return None
        there = self.guarded(turn, self.driver.stop(container)) or self.has_files(turn)
        if sandbox.state is SandboxState.CREATING:
            return None
        return SandboxState.PAUSED if there else self.missing(turn)

    def missing(self, turn: Turn) -> SandboxState | None:
        """The state that a sandbox without files is in; None when it became an archive just now."""
        return None if self.is_archive(turn, self.sandbox(turn)) else SandboxState.LOST

    def is_archive(self, turn: Turn, sandbox: model.Sandbox) -> bool:
        """Whether a sandbox without files became the archive that Redis had forgotten."""
        return turn.x.is_after_rollback and rescue.rescue(self._core, sandbox, turn.x)

    def freeze(self, turn: Turn) -> bool:
        """Leave the container frozen instead of stopped; False when that cannot be."""
        try:
            self.guarded(turn, self.driver.freeze(turn.container))
        except errors.SandboxError as failed:
            log.info("%s is not kept hot: %s", turn.x.sandbox_id, failed)
            return False
        return True

    def has_files(self, turn: Turn) -> bool:
        """Whether the sandbox's volumes are there now, whatever became of its container."""
        turn.root = None
        try:
            self.root(turn)
        except errors.SandboxGone:
            return False
        return True

    def hang_up(self, turn: Turn) -> None:
        """Close the line, whatever state it is in."""
        channel, turn.channel = turn.channel, None
        if channel is not None:
            try:
                self.call(channel.close())
            except errors.SandboxError:
                return  # it was broken already


def request(sandbox: model.Sandbox) -> sandbox_base.SandboxRequest:
    """What the driver has to know of the sandbox."""
    return sandbox_base.SandboxRequest(
        sandbox_id=sandbox.id,
        image=sandbox.image,
        resources=sandbox.resources,
        tenant=sandbox.tenant,
    )
