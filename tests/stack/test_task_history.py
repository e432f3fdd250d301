"""Histories of tasks on real parts: each way to an end, as printed."""

from __future__ import annotations

from typing import Any

import pytest

from knify.client import Client

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]
TO_THE_END = ["pending", "staging", "provisioning", "ready", "running", "completing"]


def submitted(client: Client, command: str, **lifecycle: Any) -> str:
    manifest = {
        "version": "1",
        "kind": "Task",
        "metadata": {"name": "walk"},
        "agent": {"type": "command", "command": command},
        "lifecycle": lifecycle,
    }
    return client.submit_task(manifest).task_id


def states(client: Client, task_id: str) -> list[str]:
    client.wait_task(task_id, timeout=100)
    return [event.state for event in client.task_events(task_id) if event.state]


@pytest.mark.parametrize(
    ("command", "action", "end"),
    [
        ("true", "destroy", "completed"),
        ("exit 3", "destroy", "failed"),
        ("exit 3", "preserve", "failed_preserved"),
    ],
)
def test_what_runs_goes_the_whole_way(client: Client, command: str, action: str, end: str) -> None:
    task_id = submitted(client, command, failure_action=action)

    assert states(client, task_id) == [*TO_THE_END, end]


def test_what_is_cancelled_while_it_runs_keeps_what_it_made(client: Client) -> None:
    task_id = submitted(client, "echo here > here.txt; echo made; sleep 600")
    next(client.stream_task_logs(task_id))

    client.cancel_task(task_id, "enough")

    assert states(client, task_id) == [*TO_THE_END, "cancelled"]
    assert [file.path for file in client.task_artifacts(task_id)] == ["here.txt"]
