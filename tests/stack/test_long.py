"""What takes a minute or more: many sandboxes, much output, a long freeze."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from knify.client import Client
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [
    pytest.mark.stack,
    pytest.mark.podman,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("own_stack"),
]

PAUSED = 300
#: 1,000,000 numbered lines of 100 bytes.
MUCH = "seq -f '%099.0f' 1 1000000"


def test_a_hundred_waiting_jobs_outlive_the_loss_of_the_brokers_keys(
    own_stack: stack_part.Stack, client: Client
) -> None:
    jobs = [parts.submit(client, f"sleep 0.2; echo {n}") for n in range(100)]

    store = redis.Redis.from_url(own_stack.settings.redis, decode_responses=True)
    broker = [key for key in store.scan_iter() if not key.startswith("knify:")]
    assert broker
    store.delete(*broker)

    ended = [client.wait(job_id, timeout=240) for job_id in jobs]
    assert {job.status for job in ended} == {"completed"}
    assert [parts.lines(client, job) for job in jobs] == [[str(n)] for n in range(100)]


def test_output_is_whole_though_the_worker_is_frozen_for_a_minute(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job_id = parts.submit(client, MUCH)
    next(iter(client.stream_output(job_id, raw=True)))

    frozen = own_stack.pid("worker")
    os.kill(frozen, signal.SIGSTOP)
    time.sleep(60)
    os.kill(frozen, signal.SIGCONT)

    assert client.wait(job_id, timeout=300).status == "completed"
    n = 0
    for frame in client.stream_output(job_id, raw=True):
        n += 1
        assert int(frame.data["line"]) == n == frame.data["n"]
    assert n == 1_000_000


def test_a_new_job_runs_beside_three_hundred_paused_sandboxes(client: Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda n: parts.ran(client, f"echo {n} > n"), range(PAUSED)))
    assert {job.status for job in jobs} == {"completed"}

    assert parts.ran(client, "echo new").status == "completed"
    first = client.continue_job(jobs[0].id, {"job_type": "command_task", "command": "cat n"})
    assert client.wait(first.job_id, timeout=60).status == "completed"
    assert parts.lines(client, first.job_id) == ["0"]
