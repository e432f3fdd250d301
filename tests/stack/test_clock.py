"""Redis's clock, by which all leases and deadlines go, steps under running jobs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts import redis as redis_part
from tests.parts import stack as stack_part

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]

JOB = {
    "job_type": "command_task",
    "command": "echo x >> starts; for i in $(seq 40); do echo $i; sleep 0.2; done; cat starts",
}
LINES = [*map(str, range(1, 41)), "x"]


@pytest.fixture
def redis_with_a_clock() -> Iterator[tuple[str, Callable[[str], None]]]:
    """A server whose clock is this machine's plus what the function says, in seconds."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        (pytest.fail if os.environ.get("KNIFY_CI") else pytest.skip)("needs libfaketime")
    with tempfile.TemporaryDirectory(prefix="kc-") as name:
        folder = Path(name)
        (folder / "clock").write_text("+0")
        faked = {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        server = redis_part.start(folder, environ=os.environ | faked)

        def step(offset: str) -> None:
            (folder / "clock").write_text(offset)
            off = float(offset)
            stack_part.eventually(lambda: abs(server.client().time()[0] - time.time() - off) < 5)

        try:
            yield server.url, step
        finally:
            server.stop()


@pytest.mark.timeout(600)
def test_jobs_outlive_steps_of_the_clock_and_a_worker_killed_behind_them(
    redis_with_a_clock: tuple[str, Callable[[str], None]],
) -> None:
    url, step = redis_with_a_clock
    settings = {"KNIFY_LEASE_SECONDS": "5", "KNIFY_SWEEP_SECONDS": "1", "KNIFY_SLOTS": "3"}
    with stack_part.running(KNIFY_REDIS_URL=url, **settings) as stack, stack.client() as client:
        for offset in ("+3600", "+0", "-3600", "+0"):
            jobs = [client.create_job(JOB).job_id for _ in range(5)]  # two of them wait
            next(iter(client.stream_output(jobs[0], raw=True)))

            step(offset)
            stack.kill("worker")

            for job in jobs:
                assert client.wait(job, timeout=120).status == "completed"
                assert [row["line"] for row in client.output(job, raw=True)] == LINES
