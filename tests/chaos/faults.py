"""Faults of processes, Redis, broker, Podman and disks: each injected, held for a while, healed."""

from __future__ import annotations

import abc
import contextlib
import os
import random
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from knify import failpoints, hints
from tests.chaos.history import Violation
from tests.chaos.load import Load, all_ids
from tests.parts import disk
from tests.parts.stack import Stack, eventually

RESTART = 60.0  # seconds for a part's return on a busy machine
STOP = 10.0  # seconds within which a worker is out after SIGTERM


@dataclass
class World:
    """What a fault may hurt."""

    stack: Stack
    load: Load
    rng: random.Random
    agents: Any = None  # `agentfaults.Agents`, where a fault needs them

    @property
    def redis(self) -> redis.Redis:
        """A connection of its own, past the store."""
        url = self.stack.settings.redis
        return redis.Redis.from_url(url, decode_responses=True, socket_timeout=5)

    def pid(self, part: str) -> int:
        """Of a part that may be about to start."""
        found = 0

        def look() -> bool:
            nonlocal found
            with contextlib.suppress(OSError, ValueError):
                found = self.stack.pid(part)
                os.kill(found, 0)
                return True
            return False

        eventually(look, seconds=RESTART)
        return found

    def kill(self, part: str) -> None:
        """kill -9, and wait until its successor is there."""
        victim = self.pid(part)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        eventually(lambda: self.pid(part) != victim, seconds=RESTART)

    @contextlib.contextmanager
    def frozen(self, part: str) -> Iterator[int]:
        """SIGSTOP, and SIGCONT at the end if it still lives."""
        victim = self.pid(part)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
        try:
            yield victim
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)

    @contextlib.contextmanager
    def second_worker(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """Another worker, which serves before this returns; out in time at the end."""
        second = self.stack.extra_worker(**settings)
        try:
            eventually(
                lambda: second.poll() is not None or self.serves(second.pid), seconds=RESTART
            )
            yield second
        finally:
            if second.poll() is None:
                self.terminate(second.pid, second.wait)
            second.wait()

    def serves(self, pid: int) -> bool:
        """Whether a worker process listens to its control channel."""
        return len(list(Path(f"/proc/{pid}/task").glob("*"))) > 8

    def terminate(self, pid: int, reap: Callable[..., Any] | None = None) -> None:
        """SIGTERM to a worker, which is to be out soon."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        out = bool(select.select([handle], [], [], STOP)[0])
        os.close(handle)
        if not out:
            text = f"a worker is not out {time.monotonic() - began:.0f} s after SIGTERM"
            self.load.violations.append(Violation("slow", "", text))
            os.kill(pid, signal.SIGKILL)
        if reap:
            reap()


class Fault(abc.ABC):
    """One kind. `inject` returns when the fault has been and is healed."""

    name = ""

    @abc.abstractmethod
    def inject(self, world: World) -> None:
        """Do harm, hold it, undo it."""


class Killed(Fault):
    """kill -9 of parts, which `knify up` starts again."""

    def __init__(self, *parts: str) -> None:
        self.name = f"kill -9 {' and '.join(parts)}"
        self._parts = parts

    def inject(self, world: World) -> None:
        victims = {part: world.pid(part) for part in self._parts}
        for victim in victims.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        for part, victim in victims.items():
            eventually(lambda p=part, v=victim: world.pid(p) != v, seconds=RESTART)


class Frozen(Fault):
    """SIGSTOP for some seconds, then SIGCONT."""

    def __init__(self, part: str, seconds: float) -> None:
        self.name = f"{part} frozen for {seconds:g} s"
        self._part, self._seconds = part, seconds

    def inject(self, world: World) -> None:
        with world.frozen(self._part):
            time.sleep(self._seconds)


class KillLoop(Fault):
    name = "kill -9 worker, four times in a row"

    def inject(self, world: World) -> None:
        for _ in range(4):
            world.kill("worker")
            time.sleep(world.rng.uniform(0, 2))


class KillEverything(Fault):
    name = "kill -9 of knify up and everything, then a start"

    def inject(self, world: World) -> None:
        world.stack.kill_all()
        world.stack.start()


class Rolling(Fault):
    name = "rolling restart: SIGTERM beside a second worker"

    def inject(self, world: World) -> None:
        with world.second_worker():
            victim = world.pid("worker")
            world.terminate(victim)
            eventually(lambda: world.pid("worker") != victim, seconds=RESTART)


class FrozenBeyondLease(Fault):
    name = "worker frozen beyond its lease, a second one there"

    def inject(self, world: World) -> None:
        with world.frozen("worker"), world.second_worker():
            time.sleep(6)


class Emptied(Fault):
    name = "broker's lists emptied"

    def inject(self, world: World) -> None:
        with world.frozen("worker"):
            time.sleep(world.rng.uniform(0.3, 1.5))
            world.redis.delete(*_queues(world))


class Replayed(Fault):
    name = "broker's messages doubled and replayed"

    def inject(self, world: World) -> None:
        client = world.redis
        with world.frozen("worker"):
            time.sleep(world.rng.uniform(0.3, 1.5))
            for name in _queues(world):
                messages = client.lrange(name, 0, -1)
                if messages:
                    client.rpush(name, *messages, *messages)
        known = all_ids(world.load.user().store)
        for id_ in world.rng.sample(known, min(len(known), 40)):
            for name in _queues(world)[:2]:
                client.lpush(name, hints.message(hints.ADVANCE, id_, name))


class Flushed(Fault):
    name = "Redis: SCRIPT FLUSH"

    def inject(self, world: World) -> None:
        world.redis.script_flush("SYNC")


class OutOfMemory(Fault):
    name = "Redis: out of memory for 3 s"

    def inject(self, world: World) -> None:
        try:
            world.redis.config_set("maxmemory", "1mb")
            time.sleep(3)
        finally:
            world.redis.config_set("maxmemory", "0")


class Disconnected(Fault):
    """CLIENT KILL."""

    def __init__(self, kind: str) -> None:
        self.name = f"Redis: every {kind} connection killed"
        self._kind = kind

    def inject(self, world: World) -> None:
        world.redis.execute_command("CLIENT", "KILL", "TYPE", self._kind, "SKIPME", "yes")


class DiskFull(Fault):
    """A tmpfs of its own below home, filled to the last byte."""

    def __init__(self, folder: str, seconds: float) -> None:
        self.name = f"{folder}: disk full for {seconds:g} s"
        self._folder, self._seconds = folder, seconds

    def inject(self, world: World) -> None:
        with disk.filled(world.stack.home / self._folder):
            time.sleep(self._seconds)


class ReadOnly(Fault):
    name = "objects: read-only for 3 s"

    def inject(self, world: World) -> None:
        folder = str(world.stack.home / "objects")
        # A mount with open writers refuses; a bind mount on top does not.
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
            time.sleep(3)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


class AtAPoint(Fault):
    name = "worker killed at a random failpoint"

    def inject(self, world: World) -> None:
        names = [n for n in failpoints.names() if n not in _NOT_IN_WORKERS]
        point = f"{world.rng.choice(names)}:{world.rng.choice(('before', 'after'))}:kill"
        with world.second_worker(KNIFY_FAILPOINT=point) as second:
            if world.rng.random() < 0.5:  # else it gets a share of the jobs only
                world.kill("worker")
            with contextlib.suppress(subprocess.TimeoutExpired):
                second.wait(5)


class Drained(Fault):
    name = "node drained for 3 s: no new sandbox, all idle ones archived"

    def inject(self, world: World) -> None:
        user, node = world.load.user(), world.stack.settings.node
        try:
            user.insist(lambda: user.client.drain_node(node))
            time.sleep(3)
        finally:
            user.insist(lambda: user.client.drain_node(node, on=False))


def _queues(world: World) -> list[str]:
    return [hints.ANY_NODE, hints.node_queue(world.stack.settings.node)]


_NOT_IN_WORKERS = (
    *("script.submit", "script.cancel", "script.add_workspace", "script.drop_workspace"),
    *("script.drain", "script.expire", "script.forget", "script.expire_files", "script.lose"),
    *("script.set_network", "script.add_usage", "script.tell"),
    *("script.lose_sandbox", "script.rescue", "driver.put_tar", "driver.seed"),
    *("cache.publish", "cache.evict", "script.index", "script.page", "script.match"),
    *("script.delete", "script.add_key", "script.rotate_key", "script.revoke_key"),
    *("script.used_keys", "script.replay_begin", "script.replay_end"),
    *("script.put_secret", "script.drop_secret"),
)

FAULTS: tuple[Fault, ...] = (
    Killed("worker"),
    KillLoop(),
    Killed("api"),
    Killed("beat"),
    Killed("gateway"),
    Killed("gateway", "worker"),
    Frozen("gateway", 3),
    Killed("worker", "redis"),
    Killed("worker", "podman"),
    KillEverything(),
    Rolling(),
    Frozen("worker", 7),
    FrozenBeyondLease(),
    Frozen("api", 3),
    Emptied(),
    Replayed(),
    Killed("redis"),
    Frozen("redis", 3),
    Flushed(),
    OutOfMemory(),
    Disconnected("normal"),
    Disconnected("pubsub"),
    Killed("podman"),
    Frozen("podman", 4),
    DiskFull("objects", 3),
    DiskFull("spool", 3),
    DiskFull("redis", 3),
    ReadOnly(),
    AtAPoint(),
    Drained(),
)
