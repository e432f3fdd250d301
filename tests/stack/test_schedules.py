"""Schedules by the minute, while beat is killed; what runs took; a job deleted under its run."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from knify.client import Client
from knify.store import jobkeys, keys
from knify.store.redis import connect
from tests.parts import stack as stack_part
from tests.parts.stack import eventually

pytestmark = [
    pytest.mark.slow,
    pytest.mark.stack,
    pytest.mark.podman,
    pytest.mark.usefixtures("own_stack"),
    pytest.mark.timeout(600),
]
_MINUTE = 60.0
#: Burns a core with 200 MB, and says what the kernel gave it of that core.
BURN = """
import time
held = bytearray(b"1") * (200 * 1024**2)
began, spent = time.time(), time.process_time()
while time.time() - began < 45:
    pass
print((time.process_time() - spent) / (time.time() - began))
"""


def wait_until(second: float, minute: int) -> None:
    """Some seconds of a minute since the epoch; there is no event for the time of day."""
    time.sleep(max(0.0, minute * _MINUTE + second - time.time()))


def times(client: Client, job: str) -> list[int]:
    """The minutes that its runs are for, oldest first."""
    found = [
        datetime.fromisoformat(r.scheduled_at) for r in client.runs("s", job) if r.scheduled_at
    ]
    return sorted(int(at.astimezone(UTC).timestamp()) // 60 for at in found)


def made(client: Client, name: str, **body: Any) -> str:
    return client.create_project_job("s", {"name": name, "command": "date"} | body).id


def test_each_minute_makes_one_run_and_a_dead_beat_is_made_up_for_as_the_job_says(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job = {
        name: made(client, name, schedule="* * * * *", catch_up=name) for name in ("latest", "none")
    }
    first = int(time.time()) // 60 + 1
    wait_until(10, first + 1)
    wait_until(57, first + 1)

    while time.time() < (first + 2) * _MINUTE + 36:  # nobody is there at that minute, nor soon
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            own_stack.kill("beat")
        time.sleep(0.1)
    eventually(lambda: first + 2 in times(client, job["latest"]), seconds=50)
    wait_until(5, first + 3)

    minutes = list(range(first, first + 4))
    eventually(lambda: times(client, job["latest"]) == minutes, seconds=20)
    eventually(
        lambda: times(client, job["none"]) == [m for m in minutes if m != first + 2], seconds=20
    )
    skip = client.project_job("s", job["none"]).raw["last_skip"]
    assert skip and "s ago" in skip["reason"]
    for one in job.values():
        client.delete_project_job("s", one)


def test_what_a_run_burns_is_what_it_says_itself(client: Client) -> None:
    job = made(client, "burn", command=["python3", "-c", BURN], cpus=1)
    run = client.trigger_run("s", job)

    client.wait(run.id, timeout=120)
    found = client.run_metrics("s", job)
    own = float(client.run_logs("s", job, run.id)[-1].line)

    cores = [float(v) for _, v in found["cpu_usage"]["data"][0]["values"]]
    memory = [int(v) for _, v in found["memory_usage"]["data"][0]["values"]]
    assert len(cores) >= 3
    assert sum(cores) / len(cores) == pytest.approx(own, rel=0.35)
    assert all(195 * 1024**2 < one < 260 * 1024**2 for one in memory[1:])
    client.delete_project_job("s", job)


def test_a_job_that_is_deleted_under_its_run_leaves_nothing(
    own_stack: stack_part.Stack, client: Client
) -> None:
    redis = connect(own_stack.settings.redis)
    job = made(client, "long", command="echo begun; sleep 600", concurrency_policy="forbid")
    run = client.trigger_run("s", job)
    _until(lambda: bool(client.run_logs("s", job, run.id)))
    box = client.run_of("s", job, run.id)["sandbox_id"]
    assert _containers(box)

    client.delete_project_job("s", job)

    _until(lambda: not _containers(box))
    left = (jobkeys.definition(job), jobkeys.live(job), keys.execution(run.id))
    _until(lambda: redis.exists(*left) == 0)
    assert redis.zscore(keys.DROPPING, job) is None
    assert client.projects() == []


def _until(look: Callable[[], bool]) -> None:
    eventually(look, seconds=60)


def _containers(sandbox: str) -> str:
    found = subprocess.run(
        ["podman", "ps", "-aq", "--filter", f"name={sandbox}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.strip()
