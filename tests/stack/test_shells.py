"""A shell in a kept sandbox, on real parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.sync import client as websockets

from knify.client import Client

pytestmark = [pytest.mark.stack, pytest.mark.podman]
MANIFEST = {
    "version": "1",
    "kind": "Task",
    "metadata": {"name": "left"},
    "agent": {"type": "command", "command": "echo kept > left.txt; exit 3"},
    "lifecycle": {"failure_action": "preserve"},
}


def say(line: Any, text: str) -> None:
    line.send(json.dumps({"type": "input", "data": text}))


def until(line: Any, wanted: str) -> None:
    while True:
        told = json.loads(line.recv(60))
        if wanted in str(told.get("line")) or wanted == told.get("state"):
            return


def test_one_types_into_a_kept_sandbox_and_sees_its_files(client: Client) -> None:
    task = client.wait_task(client.submit_task(MANIFEST).task_id, timeout=60)
    assert task.state == "failed_preserved"
    opened = client.open_task_shell(task.id)

    with websockets.connect(f"ws{client.access.url.removeprefix('http')}{opened.url}") as line:
        until(line, "a shell in /workspace")
        say(line, "cat left.txt\n")
        until(line, "kept")
        say(line, "sleep 600\n")
        say(line, "echo after $((40 + 2))\n")
        line.send(json.dumps({"type": "signal", "name": "INT"}))
        until(line, "after 42")
        say(line, "exit 0\n")
        until(line, "completed")

    assert client.job(opened.shell_id).metadata["shell_of"] == task.id
    frames = client.stream_events(opened.shell_id)
    assert sum("shell_entered" in str(frame) for frame in frames) == 1
