"""A slice of the faults that Knify survives, on the real stack."""

from __future__ import annotations

import os
import signal
import time

import pytest

from knify.client import Client
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.usefixtures("own_stack")]


def started(client: Client, n: int) -> str:
    """A counting job that has begun to print."""
    job_id = parts.submit(client, parts.COUNTING.format(n=n))
    next(client.stream_output(job_id, raw=True))
    return job_id


def test_a_job_outlives_its_killed_worker_with_every_line_once(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job_id = started(client, 60)

    for _ in range(2):
        victim = own_stack.pid("worker")
        own_stack.kill("worker")
        stack_part.eventually(lambda victim=victim: own_stack.pid("worker") != victim)
        time.sleep(1.5)

    client.wait(job_id, timeout=60)
    parts.assert_counted(client, job_id, 60)


@pytest.mark.slow
def test_a_job_outlives_a_frozen_worker_which_can_change_nothing_after(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job_id = started(client, 100)
    frozen = own_stack.pid("worker")

    os.kill(frozen, signal.SIGSTOP)
    second = own_stack.extra_worker()
    try:
        client.wait(job_id, timeout=60)
        parts.assert_counted(client, job_id, 100)
        assert own_stack.pid("worker") != frozen
    finally:
        second.terminate()
        second.wait(20)


def test_a_job_outlives_the_death_of_everything_at_once(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job_id = started(client, 80)

    own_stack.kill_all()
    own_stack.start()

    client.wait(job_id, timeout=60)
    parts.assert_counted(client, job_id, 80)


@pytest.mark.slow
def test_stopping_and_starting_again_leaves_running_commands_alone(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job_id = started(client, 80)

    begun = time.monotonic()
    assert own_stack.stop() == 0
    assert time.monotonic() - begun < 40
    own_stack.start()

    client.wait(job_id, timeout=60)
    parts.assert_counted(client, job_id, 80)


def test_emptied_broker_queues_cost_time_only(own_stack: stack_part.Stack, client: Client) -> None:
    import redis

    store = redis.Redis.from_url(f"unix://{own_stack.home}/run/redis.sock", decode_responses=True)
    os.kill(own_stack.pid("worker"), signal.SIGSTOP)
    jobs = [parts.submit(client, f"echo {n}") for n in range(6)]
    stack_part.eventually(lambda: store.llen("knify") >= 6)

    store.delete("knify")
    os.kill(own_stack.pid("worker"), signal.SIGCONT)

    assert [client.wait(job_id, timeout=60).status for job_id in jobs] == ["completed"] * 6


def test_a_killed_podman_service_costs_time_only(
    own_stack: stack_part.Stack, client: Client
) -> None:
    running = started(client, 40)
    own_stack.kill("podman")
    fresh = parts.submit(client, "echo fresh")

    assert client.wait(fresh, timeout=60).status == "completed"
    client.wait(running, timeout=60)
    parts.assert_counted(client, running, 40)


def test_a_killed_redis_comes_back_with_all_that_was_accepted(
    own_stack: stack_part.Stack, client: Client
) -> None:
    job_id = started(client, 50)

    victim = own_stack.pid("redis")
    own_stack.kill("redis")
    stack_part.eventually(lambda: own_stack.pid("redis") != victim)

    client.wait(job_id, timeout=60)
    parts.assert_counted(client, job_id, 50)
