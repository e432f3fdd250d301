"""`knify jobs …`: finding jobs, waiting for them, deleting them; and what exit codes say."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from knify.cli import main, words
from tests.cli.conftest import Run
from tests.client import scripted

END = [{"stage": "failed", "state": "failed"}]


def test_jobs_are_found_by_status_metadata_and_age(server: scripted.Server, knify: Run) -> None:
    server.on("GET", "/jobs", [])

    result = knify(
        "jobs", "list", "--status", "failed", "--status", "cancelled", "-m", "team=a",
        "--since", "2h", "--until", "2026-01-31T10:00:00Z", "--limit", "5",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    query = server.requests[0].query
    since = datetime.fromisoformat(query.pop("created_after"))
    assert 7_000 < (datetime.now(UTC) - since).total_seconds() < 7_500
    assert query == {
        "status": "failed,cancelled",
        "metadata.team": "a",
        "created_before": "2026-01-31T10:00:00+00:00",
        "limit": "5",
    }


def test_all_jobs_are_listed_page_by_page(server: scripted.Server, knify: Run) -> None:
    rows = [
        {"id": f"job_{n}", "status": "failed", "created_at": f"2026-01-31T10:00:00.{n:03}Z"}
        for n in reversed(range(150))
    ]
    server.on("GET", "/jobs", {"data": rows[:100]}, X_Next_Before="1")
    server.on("GET", "/jobs", {"data": rows[100:]})

    found = json.loads(knify("jobs", "list", "--all", "--json").stdout)

    assert [row["id"] for row in found] == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("status", "code"), [("completed", 0), ("failed", 1), ("cancelled", 5), ("running", 7)]
)
def test_waiting_tells_by_the_exit_code_how_it_ended(
    server: scripted.Server, knify: Run, status: str, code: int
) -> None:
    server.on_job("job_1", status)
    server.on_stream("/jobs/job_1/events/stream", END)

    assert knify("jobs", "wait", "job_1", "--timeout", "0.2").exit_code == code


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, "BAD_REQUEST", 6),
        (401, "UNAUTHORIZED", 4),
        (403, "FORBIDDEN", 4),
        (404, "NOT_FOUND", 6),
        (409, "SANDBOX_BUSY", 6),
    ],
)
def test_a_refusal_has_an_exit_code_of_its_own(
    server: scripted.Server, knify: Run, status: int, error: str, code: int
) -> None:
    server.on("GET", "/jobs/job_1", {"error": "no", "code": error}, status)

    assert knify("jobs", "show", "job_1").exit_code == code


def test_without_a_key_it_says_where_it_has_looked(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    server.on("GET", "/jobs", {"error": "Missing key", "code": "UNAUTHORIZED"}, 401)

    result = knify("jobs", "list", KNIFY_API_KEY="", KNIFY_HOME=str(here / "home"))

    assert result.exit_code == 4
    assert "KNIFY_API_KEY is not set" in result.stderr
    assert f"{here}/home/admin.key does not exist" in result.stderr


def test_a_job_is_deleted_after_a_question(server: scripted.Server, knify: Run) -> None:
    server.on("DELETE", "/jobs/job_1", {"success": True})

    assert knify("jobs", "delete", "job_1").exit_code == 1
    assert not server.requests
    assert knify("jobs", "delete", "job_1", "--yes").stdout == "job_1 is deleted\n"
    assert json.loads(knify("jobs", "delete", "job_1", "-y", "--json").stdout)["deleted"]


def test_workspaces_are_shown_fetched_and_deleted(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    facts = {"workspace_id": "workspace_1", "path": "/workspaces/demo", "version": 2}
    server.on("GET", "/workspaces/workspace_1", facts)
    server.on("GET", "/workspaces/workspace_1/download", b"tar")
    server.on("DELETE", "/workspaces/workspace_1", {"success": True})

    assert "/workspaces/demo" in knify("workspaces", "show", "workspace_1").stdout
    assert knify("workspaces", "download", "workspace_1", "-o", "w.tar").exit_code == 0
    assert (here / "w.tar").read_bytes() == b"tar"
    assert knify("workspaces", "delete", "workspace_1", "-y").exit_code == 0


def test_all_files_come_as_one_archive(server: scripted.Server, knify: Run, here: Path) -> None:
    server.on("GET", "/jobs/job_1/artifacts.tar.gz", b"packed")

    assert knify("jobs", "download", "job_1", "--archive", "all.tar.gz").exit_code == 0
    assert (here / "all.tar.gz").read_bytes() == b"packed"
    assert knify("jobs", "download", "job_1", "x", "--archive", "a").exit_code == 2


def _leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [
        found for name, sub in command.commands.items() for found in _leaves(sub, f"{path} {name}")
    ]


#: What works on this machine's processes and shows a log, or a script.
_HOST = ("up", "api", "worker", "beat", "gateway", "setup", "images build", "purge", "gc")


@pytest.mark.parametrize(
    ("path", "command"),
    [leaf for leaf in _leaves(main.cli, "knify") if leaf[0][6:] not in (*_HOST, "completion")],
)
def test_every_command_that_answers_can_answer_in_json(path: str, command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params), path


@pytest.mark.parametrize(("text", "wrong"), [("soon", True), ("2026-13-01", True), ("1d", False)])
def test_a_wrong_time_is_wrong_usage(text: str, wrong: bool) -> None:
    with pytest.raises(click.UsageError) if wrong else _nothing():
        assert words.moment("--since", text)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
