"""What it costs one worker to follow many sandboxes, and how soon their lines are in Redis."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from knify.client import Client
from tests.bench import idle
from tests.parts import stack as stack_part

MANY = 200
QUIET = 30.0  # seconds of measuring
#: A line a second, each with the time at which it was printed; all begin at different moments.
TICKING = "sleep 0.{n:03d}; while :; do echo $(date +%s.%N); sleep 1; done"
SAMPLES = 20  # sandboxes whose lines are timed


@dataclass(frozen=True)
class Followed:
    """One worker process, while it follows MANY sandboxes."""

    cpu_percent: float  # of one core
    megabytes: float  # PSS
    delays: list[float]  # seconds from a line's printing until a reader of Redis has it

    def delay(self, share: float) -> float:
        """The delay that this share of the lines stays below, in seconds."""
        return sorted(self.delays)[int(share * (len(self.delays) - 1))]


def measure(*, many: int = MANY, quiet: float = QUIET) -> Followed:
    """Start `many` sandboxes that print a line a second, and look at the worker."""
    slots = str(many + 10)
    settings = {"KNIFY_SLOTS": slots, "KNIFY_CPU_OVERCOMMIT": "1000"}
    with stack_part.running(**settings) as running, running.client() as client:
        jobs = _start(client, many)
        time.sleep(5)
        with _delays(running, jobs[:: max(1, many // SAMPLES)]) as delays:
            pid = running.pid("worker")
            before, began = idle.cpu_seconds(pid), time.monotonic()
            time.sleep(quiet)
            spent = time.monotonic() - began
            cpu = (idle.cpu_seconds(pid) - before) / spent * 100
            memory = idle.megabytes(pid)
        for job in jobs:
            client.cancel(job)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job: client.wait(job, timeout=300), jobs))
    return Followed(cpu, memory, delays)


def _start(client: Client, many: int) -> list[str]:
    jobs = [
        client.create_job(
            {
                "job_type": "command_task",
                "command": TICKING.format(n=n * 999 // many),
                "memory": "32M",
                "disk": "16M",
                "cpus": 0.1,
            }
        ).job_id
        for n in range(many)
    ]
    for job in jobs:
        next(iter(client.stream_output(job, raw=True)))
    return jobs


@contextmanager
def _delays(running: stack_part.Stack, jobs: list[str]) -> Iterator[list[float]]:
    """A reader of the streams' tails; both clocks are the host's."""
    found: list[float] = []
    stop = threading.Event()

    def read() -> None:
        client = redis.Redis.from_url(running.settings.redis, decode_responses=True)
        last = {f"knify:x:{job}:output": "$" for job in jobs}
        while not stop.is_set():
            for key, entries in client.xread(last, block=500) or []:
                now = time.time()
                for entry_id, fields in entries:
                    last[key] = entry_id
                    found.append(now - float(json.loads(fields["d"])["l"]))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
