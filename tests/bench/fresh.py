"""What a user waits for, through the HTTP API of a running stack.

A fresh sandbox is compared with `podman run` of the same image, one after the other, so that a
busy machine slows both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from knify.client import Client
from knify.host import podman
from tests.parts.stack import Stack

ROUNDS = 15
TRUE = {"job_type": "command_task", "command": ["true"]}
DATE = {"job_type": "command_task", "command": "date +%s.%N"}
LINES = 20
CALM = 0.4  # seconds between two measurements: Podman cleans up after ours in the background


@dataclass
class Fresh:
    """Seconds of every round, and of each stage of ours."""

    ours: list[float] = field(default_factory=list)
    podman: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Ours in terms of Podman's, by medians."""
        return statistics.median(self.ours) / statistics.median(self.podman)


def fresh(stack: Stack, *, rounds: int = ROUNDS) -> Fresh:
    """`true` in a new sandbox: from before POST /jobs until the client sees its completion."""
    found = Fresh()
    with stack.client() as client:
        for n in range(rounds + 2):
            seconds, stages = _job(client)
            time.sleep(CALM)
            floor = timed(lambda: podman_run(stack))
            time.sleep(CALM)
            if n < 2:  # both sides have caches to fill
                continue
            found.ours.append(seconds)
            found.podman.append(floor)
            for stage, spent in stages.items():
                found.stages.setdefault(stage, []).append(spent)
    return found


def podman_run(stack: Stack) -> None:
    """The least that a user could do instead."""
    options = ("--rm", "--network", "none")
    image = stack.settings.base_image
    answer = podman.call("run", *options, image, "true", conf=stack.containers_conf)
    assert answer.ok, answer.err


def continued(client: Client, *, rounds: int = ROUNDS) -> tuple[list[float], list[float]]:
    """Seconds from before the request until the client sees `agent_started`, and until the job's
    process prints the time, in one sandbox; both clocks are the host's.
    """
    parent = client.create_job(TRUE).job_id
    until(client, parent, "completed")
    seen, began = [], []
    for _ in range(rounds):
        time.sleep(CALM)
        start = time.time()
        job = client.continue_job(parent, DATE).job_id
        until(client, job, "agent_started")
        seen.append(time.time() - start)
        until(client, job, "completed")
        began.append(float(client.output(job, raw=True)[0]["line"]) - start)
    return seen, began


def lines(client: Client) -> list[float]:
    """Seconds from a line's printing inside until the client has it; both clocks are the host's."""
    script = f"sleep 1; for i in $(seq {LINES}); do date +%s.%N; sleep 0.1; done"
    job = client.create_job({"job_type": "command_task", "command": script}).job_id
    spent = []
    for frame in client.stream_output(job, raw=True):
        spent.append(time.time() - float(frame.data["line"]))
        if len(spent) == LINES:
            break
    return spent


def until(client: Client, job: str, stage: str) -> dict[str, float]:
    """Follow the history to this stage; when each stage was reached, in seconds since 1970."""
    seen: dict[str, float] = {}
    for frame in client.stream_events(job):
        name = frame.data["stage"]
        seen[name] = datetime.fromisoformat(frame.data["ts"]).timestamp()
        if name in (stage, "failed", "cancelled"):
            assert name == stage, frame.data
            return seen
    raise AssertionError(f"{job} never came to {stage}: {seen}")


def timed(call: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _job(client: Client) -> tuple[float, dict[str, float]]:
    """Seconds of one fresh sandbox, and of the way to each of its stages."""
    began, began_at = time.perf_counter(), time.time()
    seen = until(client, client.create_job(TRUE).job_id, "completed")
    total = time.perf_counter() - began
    last, stages = began_at, {}
    for stage, at in seen.items():
        stages[stage], last = at - last, at
    return total, stages | {"seen": began_at + total - last}
