"""Redis, beat, workers and submitters of the scripted run, each of which may die at a failpoint."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

from knify import core, hints, install, settings
from knify.services import webhooks
from tests.chaos import heard, scripted_host, scripted_parts
from tests.parts import redis as redis_part
from tests.webhooks.receiver import Receiver

_AWAY = 7.0  # seconds until the steady worker is back: the others take over what it had
_COMES = 20.0  # seconds within which a submitter must come to its point
_REFUSED = 0.1  # of all webhooks are answered with 500
SETTINGS = {
    "KNIFY_BASE_IMAGE": "scripted",
    "KNIFY_NODE": "n",
    "KNIFY_SLOTS": "16",
    "KNIFY_NODE_CPUS": "64",
    "KNIFY_NODE_MEMORY": "64G",
    "KNIFY_NODE_DISK": "1T",
    "KNIFY_DISK_RESERVE": "0",
    "KNIFY_LEASE_SECONDS": "5",
    "KNIFY_SWEEP_SECONDS": "0.5",
    "KNIFY_SANDBOX_DAYS": "0.00025",  # 22 s
    "KNIFY_ARCHIVE_HOURS": "0.0003",  # 1 s
    "KNIFY_HOT_SECONDS": "0.5",
    "KNIFY_PACK_SECONDS": "2",
    "KNIFY_ARTIFACT_DAYS": "0.0001",  # 9 s
    "KNIFY_OUTPUT_TAIL_BYTES": "1024",
    "KNIFY_WORKSPACE_VERSIONS": "2",
    "KNIFY_WORKSPACE_CACHE_BYTES": "40K",  # some trees
    "KNIFY_WEBHOOK_ALLOW_PRIVATE": "1",
    "KNIFY_LOG_LEVEL": "warning",
}


class Worker:
    """A worker's process, forked from one that has imported everything: a tenth of the time."""

    def __init__(self, env: dict[str, str], log: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(scripted_parts.PRELOAD))
        self._process = context.Process(
            target=scripted_parts.forked_worker, args=(env, log), daemon=True
        )
        self._process.start()

    def poll(self) -> int | None:
        """The exit code; None while it lives."""
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def wait(self) -> None:
        """For its end."""
        self._process.join()


class Rig:
    """The installation, and the processes that come and go."""

    def __init__(self, rng: random.Random, own_points: list[str]) -> None:
        """`own_points`: those of submitters, one process for each."""
        self.crashes = 0
        self.silent: list[str] = []  # points that no submitter came to
        self.own = deque(own_points)
        self.own_now = ""  # the submitter's that lives
        self._own_until = 0.0
        self._again: set[str] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="kn-", dir=_memory()))
        self.host = self._folder / "host"
        self._redis = redis_part.start(self._folder)
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")}
        self._env |= SETTINGS | {
            "KNIFY_HOME": str(self._folder / "h"),
            "KNIFY_REDIS_URL": self._redis.url,
            scripted_parts.HOST: str(self.host),
        }
        self._log = (self._folder / "log").open("ab")
        self._processes: list[subprocess.Popen[Any]] = []
        self._workers: list[Worker] = []
        self._steady: Worker | None = None
        self._back = 0.0  # monotonic: when it may start again
        scripted_host.make(self.host)
        config = settings.load(self._env)
        install.install(config)
        self.core = core.connect(config, hints.RecordedHints())
        self.receiver = Receiver()
        self.receiver.default = lambda: 500 if rng.random() < _REFUSED else 200
        self.hook = webhooks.create(
            self.core, "default", url=self.receiver.url, events=webhooks.EVENTS, secret=heard.SECRET
        ).record.id
        self._start("workers.main", "beat")
        self._submitter = self._start_submitter()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._processes, *self._workers]:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.receiver.close()
        self._redis.stop()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def keep_log(self) -> Path:
        """A copy that stays."""
        return Path(shutil.copy(self._folder / "log", Path(tempfile.gettempdir()) / "scripted.log"))

    def fired(self, point: str) -> bool:
        """Whether a worker died at it."""
        return self._marker(point).exists()

    def start_worker(self, point: str = "") -> Worker:
        """One more; it dies at the point."""
        env = self._env | self._failpoint(point, self._marker(point))
        worker = Worker(env, str(self._folder / "log"))
        self._workers = [w for w in self._workers if w.poll() is None] + [worker]
        return worker

    def kill_steady(self) -> None:
        """So that others take over what it has."""
        if self._steady is not None:
            self._steady.kill()
            self._back = time.monotonic() + _AWAY

    def keep_steady(self) -> None:
        """One worker without a point. It may be killed too: by a taker, when it was too slow."""
        is_gone = self._steady is None or self._steady.poll() is not None
        if is_gone and time.monotonic() > self._back:
            self._steady = self.start_worker()

    def order(self, **order: Any) -> Any:
        """The submitter's answer; the order is repeated when it died over it."""
        while True:
            process = self._submitter
            with contextlib.suppress(BrokenPipeError):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if answer:
                    self._not_for_ever()
                    return json.loads(answer)
            process.wait()
            assert process.returncode == -9, f"the submitter ended with {process.returncode}"
            self.crashes += 1
            self._submitter = self._start_submitter()

    def _not_for_ever(self) -> None:
        """The next submitter has its turn when this one does not come to its point."""
        if not self.own_now or time.monotonic() < self._own_until:
            return
        (self.silent if self.own_now in self._again else self.own).append(self.own_now)
        self._again.add(self.own_now)
        self._submitter.kill()
        self._submitter.wait()
        self._submitter = self._start_submitter()

    def _start_submitter(self) -> subprocess.Popen[Any]:
        self.own_now = self.own.popleft() if self.own else ""
        self._own_until = time.monotonic() + _COMES
        marker = self._marker(f"own-{self.own_now}")
        return self._start(
            scripted_parts.__name__, "submitter", self._failpoint(self.own_now, marker), pipes=True
        )

    def _start(
        self, module: str, part: str, more: dict[str, str] | None = None, *, pipes: bool = False
    ) -> subprocess.Popen[Any]:
        pipe = subprocess.PIPE if pipes else None
        process = subprocess.Popen(
            [sys.executable, "-m", module, part],
            env=self._env | (more or {}),
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or self._log,
            stderr=self._log,
            text=True,
        )
        self._processes = [p for p in self._processes if p.poll() is None] + [process]
        return process

    def _marker(self, point: str) -> Path:
        return self._folder / point

    def _failpoint(self, point: str, marker: Path) -> dict[str, str]:
        if not point:
            return {}
        return {"KNIFY_FAILPOINT": f"{point}:kill", "KNIFY_FAILPOINT_ONCE": str(marker)}


def _memory() -> str | None:
    """A folder whose files lie in memory, if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
