"""Who works on an execution: the leases this process holds, and whether another owner lives.

An owner's name says which process it is: `node/boot/pid/start`. A taker on the same host can so
prove that the old holder is dead, or make sure of it, before it touches the container: Podman
knows no fences.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from knify import errors, model
from knify.store.executions import Executions
from knify.store.replies import Claim

log = logging.getLogger(__name__)

_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Owner:
    """One process of one boot of one node."""

    node: str
    boot: str  # this boot of the kernel, and the namespace that the pid belongs to
    pid: int
    start: int  # clock ticks since boot, from /proc: tells a reused pid apart

    def __str__(self) -> str:
        """As the record holds it."""
        return f"{self.node}/{self.boot}/{self.pid}/{self.start}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The inverse of `str`. ValueError."""
        node, boot, pid, start = text.split("/")
        return cls(node, boot, int(pid), int(start))

    @classmethod
    def this_process(cls, node: str) -> Owner:
        """This very process."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:13]
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        return cls(node, f"{boot}.{namespace}", os.getpid(), _start_of(os.getpid()) or 0)

    @property
    def boot_id(self) -> str:
        """The boot of the kernel alone: which machine it is, since when it runs."""
        return self.boot.partition(".")[0]

    def is_dead(self, here: Owner) -> bool:
        """Whether it is proved dead, seen from `here`; another node's process never is."""
        if self.node != here.node:
            return False
        if self.boot_id != here.boot_id:
            return True
        return self.boot == here.boot and _start_of(self.pid) != self.start

    def kill(self, here: Owner) -> None:
        """Make sure that a process of this host which lost its lease does nothing any more.

        SandboxError when it does not die: then its containers must not be touched.
        """
        if self.node != here.node or self == here or self.is_dead(here):
            return
        if self.boot != here.boot:
            raise errors.SandboxError(f"worker {self} lives in another container: not to be seen")
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_dead(here):  # the handle might be of a process that reused the pid
                return
            log.warning("killing worker %s: its lease ran out while it lives", self)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], _KILL_SECONDS)[0]:
                raise errors.SandboxError(f"worker {self} does not die")
        finally:
            os.close(handle)


def is_dead(owner: str, here: Owner) -> bool:
    """Whether the owner of this name is proved dead."""
    try:
        return Owner.parse(owner).is_dead(here)
    except ValueError:
        return False


def _start_of(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(rest[18])


@dataclass(slots=True)
class _Held:
    fence: int
    until: float  # monotonic seconds, counted from before the call that granted it
    cancelled: bool = False  # somebody asked for that since


class Leases:
    """The leases that this process holds; safe to use from all its threads."""

    def __init__(self, executions: Executions, owner: Owner, *, seconds: float, slots: int) -> None:
        self.owner = owner
        self.seconds = seconds
        self._executions = executions
        self._slots = slots
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def claim(self, execution_id: str) -> Claim:
        """Take an execution's lease; its old holder, if on this host, is dead afterwards."""
        with self._lock:
            if execution_id in self._held:  # a doubled hint, while we are at it
                return Claim("held", other=str(self.owner))
        asked = time.monotonic()
        claim = self._ask(execution_id, "")
        if claim.verdict == "held" and is_dead(claim.other, self.owner):
            claim = self._ask(execution_id, claim.other)
        if claim.execution is not None:
            with self._lock:
                self._held[execution_id] = _Held(claim.execution.fence, asked + self.seconds)
            if claim.other:
                self._make_sure_of(claim.other, execution_id)
        return claim

    def _make_sure_of(self, owner: str, execution_id: str) -> None:
        """The old holder must be dead before anything is touched; else the lease is let go."""
        try:
            Owner.parse(owner).kill(self.owner)
        except ValueError:
            return  # of an older form, so of an older boot
        except errors.SandboxError:
            self.drop(execution_id)
            raise

    def _ask(self, execution_id: str, dead: str) -> Claim:
        return self._executions.claim(
            execution_id,
            owner=str(self.owner),
            node=self.owner.node,
            lease_ms=int(self.seconds * 1000),
            slots=self._slots,
            dead=dead,
        )

    def renew(self) -> tuple[list[str], list[tuple[str, bool]], list[str]]:
        """Extend all. Ids that are lost; to be cancelled, perhaps at once; over their budget."""
        with self._lock:
            held = [(name, lease.fence) for name, lease in self._held.items()]
        asked = time.monotonic()
        answers = self._executions.renew(held, lease_ms=int(self.seconds * 1000))
        lost, cancelled, over = list[str](), list[tuple[str, bool]](), list[str]()
        with self._lock:
            for (name, fence), answer in zip(held, answers, strict=True):
                lease = self._held.get(name)
                if lease is None or lease.fence != fence:
                    continue
                if answer == "lost":
                    del self._held[name]
                    lost.append(name)
                    continue
                lease.until = asked + self.seconds
                if answer in ("cancel", "kill"):
                    lease.cancelled = True
                    cancelled.append((name, answer == "kill"))
                elif answer == "over":
                    over.append(name)
        return lost, cancelled, over

    def cancel(self, execution_id: str) -> None:
        """Its cancellation was asked for: whatever takes long looks at `is_cancelled`."""
        with self._lock:
            lease = self._held.get(execution_id)
            if lease is not None:
                lease.cancelled = True

    def is_cancelled(self, x: model.Execution) -> bool:
        """Whether its cancellation was asked for, before it was taken or since."""
        with self._lock:
            lease = self._held.get(x.id)
        return bool(x.cancel_requested_at or (lease and lease.cancelled))

    def check(self, x: model.Execution, seconds: float) -> None:
        """Raise LeaseLost unless the lease lasts `seconds` more: before each change of Podman."""
        with self._lock:
            lease = self._held.get(x.id)
        left = lease.until - time.monotonic() if lease and lease.fence == x.fence else 0.0
        if left < seconds:
            raise errors.LeaseLost(f"the lease of {x.id} lasts {left:.1f} s, {seconds:.1f} needed")

    def drop(self, execution_id: str) -> None:
        """Forget a lease that was given back, lost, or ended with its execution."""
        with self._lock:
            self._held.pop(execution_id, None)

    def held(self) -> list[str]:
        """The ids of the executions this process owns."""
        with self._lock:
            return list(self._held)
