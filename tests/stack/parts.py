"""Jobs for the suite, and what is known of them afterwards."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from knify.client import Client, Job

#: Prints a line every 100 ms on both streams and leaves one mark for each start of its own.
COUNTING = (
    "echo x >> starts; i=0; while [ $i -lt {n} ]; do i=$((i+1)); "
    "echo line $i; echo err $i >&2; sleep 0.1; done"
)


def submit(client: Client, command: str | list[str], **spec: Any) -> str:
    """Submit a command; the job's id."""
    wanted = {"job_type": "command_task", "command": command} | spec
    return client.create_job(wanted).job_id


def ran(client: Client, command: str | list[str], **spec: Any) -> Job:
    """Submit a command and wait for its end."""
    return client.wait(submit(client, command, **spec), timeout=60)


def lines(client: Client, job_id: str, stream: str = "stdout") -> list[str]:
    """The raw lines of one stream."""
    return [e["line"] for e in client.output(job_id, raw=True) if e["stream"] == stream]


def content(client: Client, job_id: str, path: str) -> Any:
    """A small artifact's content."""
    with tempfile.TemporaryDirectory() as folder:
        text = client.download(job_id, path, folder).file.read_text()
    return json.loads(text) if path.endswith(".json") else text


def stages(client: Client, job_id: str) -> list[str]:
    """The names of its events."""
    return [event["stage"] for event in client.events(job_id)]


def assert_counted(client: Client, job_id: str, n: int) -> None:
    """A COUNTING job completed: every line once and in order, started once."""
    job = client.job(job_id)
    assert (job.status, job.error) == ("completed", None)
    assert lines(client, job_id) == [f"line {i}" for i in range(1, n + 1)]
    assert lines(client, job_id, "stderr") == [f"err {i}" for i in range(1, n + 1)]
    numbers = [e["n"] for e in client.output(job_id, raw=True)]
    assert numbers == list(range(1, 2 * n + 1))
    assert content(client, job_id, "starts") == "x\n"
    assert stages(client, job_id).count("agent_started") == 1
