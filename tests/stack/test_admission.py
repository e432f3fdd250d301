"""A node takes no more than it can hold, on the real stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import ApiError, Client
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]


@pytest.fixture(scope="module")
def small_stack() -> Iterator[stack_part.Stack]:
    """A node with many slots and little memory."""
    with stack_part.running(KNIFY_SLOTS="12", KNIFY_NODE_MEMORY="1G", KNIFY_NODE="n1") as running:
        yield running


@pytest.fixture
def client(small_stack: stack_part.Stack) -> Iterator[Client]:
    with small_stack.client() as client:
        yield client


def test_a_job_waits_for_memory_says_so_and_runs_when_there_is_some(client: Client) -> None:
    running = [parts.submit(client, "sleep 100", memory="512M") for _ in range(2)]
    for job_id in running:
        stack_part.eventually(lambda job_id=job_id: client.job(job_id).status == "running")
    third = parts.submit(client, "echo here", memory="512M")

    stack_part.eventually(lambda: "memory" in client.job(third).raw["pending_reason"])
    waiting = client.job(third)

    assert waiting.raw["pending_reason"] == "memory: needs 512.0 MiB, 0 B free on n1"
    assert waiting.raw["queue_position"] == 1
    client.cancel(running[0])
    assert client.wait(third, timeout=60).status == "completed"
    assert client.job(running[1]).status == "running"
    client.cancel(running[1])


@pytest.mark.slow
def test_on_a_full_disk_all_starts_and_no_new_job_is_taken() -> None:
    with (
        stack_part.running(KNIFY_DISK_RESERVE="100000T", KNIFY_NODE="n1") as stack,
        stack.client() as client,
    ):
        job_id = parts.submit(client, "true")

        reason = stack_part.eventually(lambda: client.job(job_id).raw["pending_reason"])
        assert reason.startswith("low disk on n1: ")
        assert b"no new job is started" in stack.said()
        client.cancel(job_id)


def test_what_the_node_can_never_hold_is_refused_and_defaults_are_cut(client: Client) -> None:
    with pytest.raises(ApiError) as refused:
        parts.submit(client, "true", memory="2G")

    assert (refused.value.status, refused.value.code) == (507, "INSUFFICIENT_RESOURCES")
    job = parts.ran(client, "echo $KNIFY_MEMORY")
    assert parts.lines(client, job.id) == [str(1024**3)]
