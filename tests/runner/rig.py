"""A worker without Celery and Podman: the real runner, watcher and Redis on a scripted node."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from knify import core as core_module
from knify import hints, leases, model, settings
from knify.lifecycle import TERMINAL
from knify.runner import Runner
from knify.sandbox import base as sandbox_base
from knify.sandbox import fake, fakehost
from knify.services import jobs
from knify.watch import Watcher

OUT, ERR = sandbox_base.Stream.OUT, sandbox_base.Stream.ERR


class Killed(BaseException):
    """The worker process died here."""


class Loop:
    """One event loop for a test, which outlives its workers as the host does."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, coroutine: Any, seconds: float) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def close(self) -> None:
        self.call(self._cancel_all(), 5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Worker:
    """One worker process. Its owner's pid never exists, so the next one finds it dead."""

    _pids = iter(range(10**8, 10**9))

    def __init__(self, rig: Rig, *, node: str = "n", host: fakehost.FakeHost | None = None) -> None:
        owner = leases.Owner.this_process(node)
        owner = leases.Owner(node, owner.boot, next(self._pids), 1)
        self.host = host or rig.host
        self.driver: sandbox_base.Driver = fake.FakeDriver(self.host)
        self.call = rig.loop.call
        self.on_call: Callable[[str], None] = lambda when: None
        self._threads = ThreadPoolExecutor(8)
        self.leases = leases.Leases(rig.core.store.executions, owner, seconds=30, slots=4)
        self.watcher = Watcher(rig.core, self.driver, self.leases, rig.loop.loop, self._threads)
        self.runner = Runner(rig.core, self, self.leases, self.watcher.follow)
        self.watcher.conclude = self._conclude
        self.died: threading.Event = threading.Event()

    def _conclude(self, *arguments: Any) -> None:
        try:
            self.runner.conclude(*arguments)
        except Killed:
            self.died.set()

    def advance(self, execution_id: str) -> None:
        try:
            self.runner.advance(execution_id)
        except Killed:
            self.died.set()

    def vanish(self) -> None:
        """What is left of a killed process: nothing follows, no lease is given back."""
        for follow in list(self.watcher._following.values()):
            if follow.task is not None:
                self.watcher._loop.call_soon_threadsafe(follow.task.cancel)


class Rig:
    """Redis, objects and a scripted node; workers come and go."""

    def __init__(self, redis_url: str, home: Path) -> None:
        self.loop = Loop()
        self.host = fakehost.FakeHost()
        environ = {
            "KNIFY_HOME": str(home),
            "KNIFY_REDIS_URL": redis_url,
            "KNIFY_BASE_IMAGE": "fake",
            "KNIFY_NODE": "n",
        }
        self.core = core_module.connect(settings.load(environ), hints.RecordedHints())

    def script(self, *argv: str, **fields: Any) -> None:
        self.host.script(argv, fakehost.Script(**fields))

    def submit(self, *argv: str, **spec: Any) -> str:
        request = {"job_type": "command_task", "command": list(argv)} | spec
        return jobs.submit(self.core, "default", jobs.Submission(request)).execution.id

    def job(self, execution_id: str) -> model.Execution:
        return self.core.store.executions.get(execution_id, tenant="default")

    def ended(self, execution_id: str, seconds: float = 10) -> model.Execution:
        return eventually(
            lambda: x if (x := self.job(execution_id)).state in TERMINAL else None, seconds
        )

    def stages(self, execution_id: str) -> list[str]:
        return [event.stage for event in self.core.store.streams.events(execution_id)]

    def states(self, execution_id: str) -> list[str]:
        events = self.core.store.streams.events(execution_id)
        return [event.state for event in events if event.state]

    def lines(self, execution_id: str) -> list[str]:
        return [e.line for e in self.core.store.streams.output(execution_id) if e.line is not None]

    def starts(self, execution_id: str) -> int:
        return sum(box.started.count(execution_id) for box in self.host.containers.values())

    def close(self) -> None:
        self.loop.close()
        gc.collect()  # here: coroutines of the dead that are finalised within a compile crash it


def die(
    rig: Rig,
    victim: Worker,
    n: int,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
    *others: tuple[object, str],
) -> None:
    """From its n-th call on, whatever the victim asks for fails as a dead process's.

    Calls to the driver and the scripts count, and those to `others` (object, method).
    """
    counter = itertools.count()

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            turn = next(counter)
            if turn == n and when == "after":
                function(*arguments)
            if turn >= n:
                for argument in arguments:
                    if hasattr(argument, "close"):
                        argument.close()
                victim.died.set()
                raise Killed
            return function(*arguments)

        return wrapped

    scripts = rig.core.store.executions._scripts
    victim.call = dying(victim.call)  # type: ignore[method-assign]  # it stays dead
    for owner, method in ((scripts, "call"), *others):
        monkeypatch.setattr(owner, method, dying(getattr(owner, method)))


def eventually(look: Callable[[], Any], seconds: float = 10) -> Any:
    """The first truthy answer."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)
    return found
