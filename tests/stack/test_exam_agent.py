"""An examination that an agent, here a scripted one, sums up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify.client import Client
from tests.parts import stack as stack_part
from tests.parts import standin
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]

SOURCES = "sources: {a: {kind: sqlite, path: a.db, table: events, user: user_id, time: at}}"
JANUARY = {"from": "2025-01-01T00:00:00Z", "to": "2025-01-31T23:59:59Z"}


@pytest.fixture(scope="module")
def stack() -> Iterator[stack_part.Stack]:
    """An installation whose image for examinations has the scripted agent."""
    with standin.image() as image:
        settings = {"CURSOR_API_KEY": "k-e-y", "KNIFY_DATA_IMAGE": image}
        with stack_part.running(**settings) as running:
            yield running


def _examine(client: Client, folder: Path, prompt: str) -> Any:
    with sqlite3.connect(folder / "a.db") as database:
        database.execute("CREATE TABLE events (user_id, at)")
        database.execute("INSERT INTO events VALUES ('u1', '2025-01-02T00:00:00Z')")
    database.close()
    (folder / "sources.yaml").write_text(SOURCES)
    workspace = client.upload_workspace(folder, "one")
    spec = {"job_type": "user_exam", "user_id": "u1", "time_range": JANUARY, "agent": "cursor"}
    made = client.create_job(spec | {"workspace_path": workspace["path"], "prompt": prompt})
    return client.wait(made.job_id, timeout=100)


def test_its_summary_stands_behind_the_report(client: Client, tmp_path: Path) -> None:
    job = _examine(client, tmp_path, "RUN echo 'came *once*' >summary.md\nSAY all is said")

    assert (job.status, job.error) == ("completed", None)
    assert client.output(job.id)[-1]["result"] == "all is said"
    report = parts.content(client, job.id, "report.md")
    assert "| a | sqlite | 1 |" in report
    assert report.endswith("\n## Summary by cursor\n\n> came *once*\n")
    kinds = [event["type"] for event in client.output(job.id)]
    assert kinds[:3] == ["tool_use", "tool_result", "agent_message"]


def test_without_one_the_report_stands(client: Client, tmp_path: Path) -> None:
    job = _examine(client, tmp_path, "FAIL out of patience")

    assert (job.status, job.error) == ("completed", None)
    assert client.output(job.id)[-1]["result"].startswith("1 row in 1 of 1 sources")
    warned = [e["message"] for e in client.output(job.id) if e["type"] == "warning"]
    assert any("out of patience" in words for words in warned)
    assert "Summary by" not in parts.content(client, job.id, "report.md")
