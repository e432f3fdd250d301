"""A machine that loses its power with a job running and a sandbox paused, and starts again."""

from __future__ import annotations

import pytest

from knify.client import Client
from tests.parts import podman
from tests.parts import stack as stack_part
from tests.stack import parts
from tests.stack.test_lifecycle import MAKE, digest

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]


@pytest.mark.timeout(600)
def test_a_power_cut_ends_what_ran_and_keeps_what_was_paused() -> None:
    settings = {"KNIFY_LEASE_SECONDS": "3", "KNIFY_SWEEP_SECONDS": "1"}
    with (
        podman.root() as root,
        stack_part.running(**settings, KNIFY_PODMAN_URL=root.url) as stack,
    ):
        with stack.client() as client:
            paused = parts.ran(client, MAKE)
            before = digest(client, paused.id)
            running = client.create_job(
                {"job_type": "command_task", "command": "echo here > kept; echo here; sleep 600"}
            ).job_id
            next(client.stream_output(running, raw=True))

        stack.kill_all()
        root.reboot()
        stack.start()

        with stack.client() as client:
            _has_ended(client, running)
            assert digest(client, paused.id) == before


def _has_ended(client: Client, job_id: str) -> None:
    """With the reason, all its output, and files that the next turn finds."""
    ended = client.wait(job_id, timeout=120)
    assert (ended.status, ended.error) == ("failed", "the sandbox ended under the command")
    assert parts.lines(client, job_id) == ["here"]
    again = {"job_type": "command_task", "command": "cat kept"}
    after = client.continue_job(job_id, again).job_id
    assert client.wait(after, timeout=120).status == "completed"
    assert parts.lines(client, after) == ["here"]
