"""Faults of one job or one client, each played on a job of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from knify.client import errors as client_errors
from knify.host import podman
from tests.chaos import checker
from tests.chaos.faults import Fault, World
from tests.chaos.history import CANCELLED
from tests.chaos.load import COUNT, SMALL, START, User

#: What a job says whose container vanished under it.
ENDED_UNDER = ("failed", "the sandbox ended under the command")


class Job(Fault):
    """A job that harms itself, and the one end that it must come to."""

    def __init__(self, name: str, command: str, state: str, error: str, **spec: object) -> None:
        self.name = name
        self._command, self._end, self._spec = command, (state, error), spec

    def inject(self, world: World) -> None:
        user = world.load.user()
        marked = self._end[0] == "completed"
        job = user.submit(
            self.name, START + self._command, allowed=(self._end,), marked=marked, **self._spec
        )
        user.clean(user.finish(job))


class KilledUnder(Fault):
    """A process that holds the sandbox is killed while its job counts."""

    def __init__(self, name: str, field: str) -> None:
        self.name, self._field = name, field

    def inject(self, world: World) -> None:
        user = world.load.user()
        job = user.submit(self.name, COUNT, n=80, counted=80)
        if job is None or not _prints(user, job):
            return
        user.allow(job, ENDED_UNDER)
        sandbox = user.look(lambda: user.store.executions.find(job)).sandbox_id
        conf, name = world.stack.containers_conf, f"knify-{sandbox}"
        answer = podman.call(
            "inspect", "--format", f"{{{{.State.{self._field}}}}}", name, conf=conf
        )
        if answer.ok and int(answer.out) > 1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(answer.out), signal.SIGKILL)
        user.clean(user.finish(job))


class Race(Fault):
    name = "continue, cancel and cleanup racing on one sandbox"

    def inject(self, world: World) -> None:
        first, others = world.load.user(), [world.load.user() for _ in range(4)]
        job = first.submit("race", COUNT, n=20, counted=20, allowed=CANCELLED)
        time.sleep(world.rng.uniform(0, 2))
        jobs: list[str | None] = [job]

        def go_on(user: User) -> None:
            jobs.append(user.submit("race", SMALL, parent=job, allowed=CANCELLED))

        acts = [
            lambda: go_on(others[0]),
            lambda: go_on(others[1]),
            lambda: others[2].insist(lambda: others[2].client.cancel(job or "")),
            lambda: others[3].clean(job),
        ]
        world.rng.shuffle(acts)
        threads = [threading.Thread(target=act, daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for one in jobs:
            first.finish(one)
        first.clean(job)


class CutStreams(Fault):
    name = "a client's stream cut and resumed, again and again"

    def inject(self, world: World) -> None:
        user = world.load.user()
        n = world.rng.randint(20, 50)
        job = user.submit("stream", COUNT, n=n, counted=n)
        got: list[int] = []
        after: str | None = None
        over = False
        while job and not over and not world.load.given_up.is_set():
            cut = world.rng.randint(1, 20)
            frames = user.client.stream_output(job, after, raw=True)
            try:
                for frame in frames:
                    after = frame.id
                    got.append(frame.data["n"])
                    cut -= 1
                    if not cut:
                        break
                else:
                    over = True
            except (client_errors.ConnectionFailed, client_errors.ApiError):
                time.sleep(0.3)
            finally:
                frames.close()  # type: ignore[attr-defined]
        if user.finish(job) and job:
            lines = user.look(lambda: user.store.executions.find(job)).lines
            world.load.violations += checker.streamed(job, got, lines)
        user.clean(job)


def _prints(user: User, job: str) -> bool:
    """Wait for its first line."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        x = user.look(lambda: user.store.executions.find(job))
        if x is None or x.completed_at:
            return False
        if x.lines:
            return True
        time.sleep(0.05)
    return False


JOB_FAULTS: tuple[Fault, ...] = (
    KilledUnder("conmon killed under a job", "ConmonPid"),
    KilledUnder("the container's init killed under a job", "Pid"),
    Job("the job segfaults", "exec sh -c 'kill -SEGV $$'", "failed", r"exited with code (139|11)"),
    Job(
        "the job is killed for its memory",
        "exec python3 -c 'x = bytearray(400 << 20)'",
        "failed",
        r"killed by its memory limit of .*",
        memory="64M",
    ),
    Job("a flood of output", "exec yes", "failed", r"printed more than .*"),
    Job(
        "children left behind",
        "sleep 1000 & setsid sleep 1000 & nohup sleep 1000 & echo left",
        "completed",
        "",
    ),
    Job("silent for ever", "sleep 1000", "failed", r"printed nothing for 3 s", hang_timeout=3),
    Job("longer than its time", "sleep 1000", "failed", r"timed out after 3 s", timeout=3),
    Race(),
    CutStreams(),
)
