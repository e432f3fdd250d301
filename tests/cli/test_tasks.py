"""`sandbox task …`: manifests in, states, lines and files out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
import yaml

from knify.cli import sandbox
from tests.client import scripted

Sandbox = Callable[..., click.testing.Result]

TASKS = "/api/v1/tasks"
LOGS = f"{TASKS}/t-1/logs"
COMMAND = {"agent": {"type": "command", "command": "true"}}
ROW: dict[str, Any] = {
    "id": "t-1", "state": "running", "name": "n", "labels": {"team": "a"}, "execution_id": "task_1",
    "definition": COMMAND, "progress": {"output_bytes": 3}, "state_message": "runs",
}  # fmt: skip
STEPS = [
    {"stage": "created", "level": "info", "ts": "2026-01-31T10:00:00Z"},
    {"stage": "failed", "level": "error", "detail": "exit code 3", "state": "failed"},
]
LINES = [{"n": 1, "stream": "stdout", "line": "one"}, {"n": 2, "stream": "stderr", "line": "two"}]


@pytest.fixture
def run(server: scripted.Server, here: Path) -> Sandbox:
    """Runs `sandbox task …` against the scripted server."""
    env = {"KNIFY_URL": server.url, "KNIFY_API_KEY": "knify_test_a_b"}
    runner = click.testing.CliRunner(env=env)
    return lambda *args, **more: runner.invoke(sandbox.cli, ["task", *args], **more)


def ends(server: scripted.Server, state: str, **fields: Any) -> None:
    """A task that runs, and has ended when it is asked for again; its streams."""
    server.on("POST", TASKS, {"task_id": "t-1", "state": "pending"}, 202)
    server.on("GET", f"{TASKS}/t-1", ROW)
    server.on("GET", f"{TASKS}/t-1", ROW | {"state": state} | fields)
    server.on_stream(LOGS, [{"stage": state, "state": state}])
    server.on_stream("/jobs/task_1/events/stream", [{"stage": state, "state": state}])
    server.on_stream("/jobs/task_1/output/stream", LINES)
    server.on_job("task_1", "failed" if state.startswith("failed") else state)


def test_a_manifest_is_submitted_from_a_file_or_from_stdin(
    server: scripted.Server, run: Sandbox
) -> None:
    server.on("POST", TASKS, {"task_id": "t-1", "state": "pending"}, 202)
    Path("task.yaml").write_text("version: '1'\n")

    by_file, by_pipe = run("submit", "task.yaml"), run("submit", "-", input="version: '1'\n")

    assert by_file.exit_code == by_pipe.exit_code == 0
    assert by_file.stdout == "t-1\n"
    assert "sandbox task logs t-1 --follow" in by_file.stderr
    assert [request.body for request in server.requests] == [b"version: '1'\n"] * 2


def test_a_refused_manifest_names_the_place_of_the_mistake(
    server: scripted.Server, run: Sandbox
) -> None:
    said = {"field": "vm.cpu", "problems": ["did you mean cpus?"]}
    server.on(
        "POST", TASKS, {"error": "invalid_manifest", "message": "wrong", "details": said}, 400
    )

    result = run("submit", "-", input="x: 1\n")

    assert result.exit_code == 6
    assert "Error: wrong" in result.stderr and "field: vm.cpu" in result.stderr


def test_problems_are_a_line_each_and_what_is_there_is_told_in_words(
    server: scripted.Server, run: Sandbox
) -> None:
    problems = [
        {"field": "spec.cpu", "message": "did you mean cpus?"},
        {"field": "x", "message": "no"},
    ]
    several = {"error": "invalid_manifest", "message": "wrong", "details": {"problems": problems}}
    there = {"existing_task": {"id": "t-1", "state": "running"}}
    twice = {"error": "duplicate_task_id", "message": "there is one", "details": there}
    server.on("POST", TASKS, several, 400)
    server.on("POST", TASKS, twice, 409)

    wrong, taken = run("submit", "-", input="x: 1\n"), run("submit", "-", input="x: 1\n")

    assert wrong.stderr.splitlines()[1:] == ["  spec.cpu: did you mean cpus?", "  x: no"]
    assert taken.stderr.splitlines()[1:] == ["  existing task: id t-1, state running"]


@pytest.mark.parametrize(
    ("state", "code"),
    [("completed", 0), ("failed", 1), ("failed_preserved", 1), ("cancelled", 5)],
)
@pytest.mark.parametrize("how", ["--wait", "--follow"])
def test_the_exit_code_is_0_only_for_a_task_that_completed(
    server: scripted.Server, run: Sandbox, state: str, code: int, how: str
) -> None:
    ends(server, state, error="why" if code else None)

    result = run("submit", "-", how, input="x: 1\n")

    assert result.exit_code == code, result.output
    assert result.stdout.splitlines()[-1].endswith("why" if code else "completed")
    assert ("one\ntwo\n" in result.stdout) is (how == "--follow")


def test_waiting_ends_in_time(server: scripted.Server, run: Sandbox) -> None:
    server.on("POST", TASKS, {"task_id": "t-1", "state": "pending"}, 202)
    server.on("GET", f"{TASKS}/t-1", ROW)
    with scripted.silence(server, LOGS):
        result = run("submit", "-", "--wait", "--timeout", "0.2s", input="x: 1\n")

    assert result.exit_code == 7
    assert run("submit", "-", "--timeout", "1s", input="").exit_code == 2


def test_a_server_that_is_away_is_code_3_and_a_wrong_key_4(
    server: scripted.Server, run: Sandbox
) -> None:
    server.on("GET", TASKS, {"error": "unauthorized", "message": "wrong key", "details": {}}, 401)

    refused = run("list")
    away = click.testing.CliRunner(env={"KNIFY_URL": "http://127.0.0.1:1"}).invoke(
        sandbox.cli, ["task", "list"]
    )

    assert refused.exit_code == 4 and "KNIFY_API_KEY" in refused.stderr
    assert away.exit_code == 3


def test_a_list_is_filtered_sorted_and_says_that_there_is_more(
    server: scripted.Server, run: Sandbox
) -> None:
    server.on("GET", TASKS, {"tasks": [ROW], "total_count": 9, "offset": 2, "has_more": True})

    result = run(
        "list", "--state", "running,failed", "--state", "cancelled", "--label", "team=a",
        "--limit", "1", "--offset", "2", "--sort", "name", "--order", "asc",
    )  # fmt: skip

    assert result.stdout.splitlines()[1].split() == ["t-1", "running", "n", "team=a"]
    assert "3 of 9: go on with --offset 3" in result.stderr
    assert server.requests[0].query == {
        "state": "running,failed,cancelled", "label.team": "a", "limit": "1", "offset": "2",
        "sort": "name", "order": "asc",
    }  # fmt: skip
    assert run("list", "--state", "runing").exit_code == 2


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_all_that_the_server_said(
    server: scripted.Server, run: Sandbox, form: str, read: Any
) -> None:
    evil = ROW | {"name": "\x1b[31m\u202ered", "extra": 1}
    server.on("GET", f"{TASKS}/t-1", evil)

    result = run("status", "t-1", "--format", form)

    assert read(result.stdout) == evil
    assert result.stdout.isascii() and "\x1b" not in result.stdout


def test_a_status_shows_progress_and_cleans_what_others_wrote(
    server: scripted.Server, run: Sandbox
) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW | {"name": "\x1b[31mred"})

    shown = run("status", "t-1").stdout

    assert "progress.output_bytes  3" in shown
    assert "\x1b" not in shown and "red" in shown


def test_watching_shows_the_history_and_how_it_ended(server: scripted.Server, run: Sandbox) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW | {"state": "pending", "state_message": "no free slot"})
    server.on("GET", f"{TASKS}/t-1", ROW | {"state": "failed", "error": "exit code 3"})
    server.on_stream(LOGS, STEPS, cuts=(60,))

    result = run("status", "t-1", "--watch")

    assert result.exit_code == 1
    assert "no free slot" in result.stderr
    assert result.stdout == (
        "2026-01-31T10:00:00Z  · created\n  · failed  exit code 3\n✗ failed: exit code 3\n"
    )


def test_watching_as_json_is_a_line_each(server: scripted.Server, run: Sandbox) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW | {"state": "completed"})
    server.on_stream(LOGS, [{"stage": "completed", "state": "completed"}])

    result = run("status", "t-1", "--watch", "--format", "json")

    assert result.exit_code == 0
    rows = list(map(json.loads, result.stdout.splitlines()))
    assert [row.get("stage") or row["id"] for row in rows] == ["completed", "t-1"]


def test_lines_are_followed_to_the_end(server: scripted.Server, run: Sandbox) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW)
    server.on("GET", f"{TASKS}/t-1", ROW | {"state": "completed"})
    server.on_stream(LOGS, LINES, cuts=(70,))

    result = run("logs", "t-1", "--follow", "--tail", "5", "--since", "2026-01-31T10:00:00Z")

    assert (result.exit_code, result.stdout) == (0, "one\ntwo\n")
    assert server.seen("GET", LOGS)[0].query == {
        "follow": "true", "stream": "all", "tail": "5", "since": "2026-01-31T10:00:00+00:00",
    }  # fmt: skip


def test_what_was_printed_so_far_is_no_stream(server: scripted.Server, run: Sandbox) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW)
    server.on("GET", LOGS, b'{"n": 1, "line": "one", "stream": "stdout"}\n')

    as_text, as_json = run("logs", "t-1"), run("logs", "t-1", "--format", "json")

    assert as_text.stdout == "one\n"
    assert json.loads(as_json.stdout)["n"] == 1


def test_of_an_agent_it_is_what_it_means_unless_its_lines_are_wanted(
    server: scripted.Server, run: Sandbox
) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW | {"definition": {"claude": {}}, "state": "completed"})
    said = [{"type": "agent_message", "message": "hello"}, {"type": "completed", "status": "x"}]
    server.on_stream("/jobs/task_1/output/stream", said)
    server.on_stream(LOGS, [{"n": 1, "stream": "stdout", "line": '{"type": "assistant"}'}])

    assert run("logs", "t-1").stdout == "hello\n"
    assert run("logs", "t-1", "--raw").stdout == '{"type": "assistant"}\n'


def test_a_task_is_cancelled(server: scripted.Server, run: Sandbox) -> None:
    answer = {"task_id": "t-1", "previous_state": "running", "new_state": "cancelled"}
    server.on("DELETE", f"{TASKS}/t-1", answer | {"message": "Task cancelled"})

    result = run("cancel", "t-1", "--reason", "wrong branch", "--force")

    assert result.stdout == "t-1 is cancelled: Task cancelled\n"
    assert server.requests[0].json() == {"reason": "wrong branch", "force": True}


def holds(server: scripted.Server, listed: bytes) -> str:
    """A task's file; the list speaks of other bytes, perhaps."""
    digest = hashlib.sha256(listed).hexdigest()
    row = {"path": "out/r.md", "size_bytes": 6, "checksum": f"sha256:{digest}"}
    server.on("GET", f"{TASKS}/t-1/artifacts", {"artifacts": [row], "total_count": 1})
    server.on("GET", f"{TASKS}/t-1/artifacts/r.md", b"report")
    return digest


@pytest.mark.parametrize(
    ("output", "place"), [(None, "r.md"), ("new/", "new/r.md"), ("a.md", "a.md")]
)
def test_a_file_is_fetched_and_verified(
    server: scripted.Server, run: Sandbox, output: str | None, place: str
) -> None:
    digest = holds(server, b"report")

    result = run("download", "t-1", "r.md", "--verify", *(["--output", output] if output else []))

    assert result.exit_code == 0, result.output
    assert Path(place).read_bytes() == b"report"
    assert digest in result.stdout and "verified" in result.stdout
    assert digest[:12] in run("artifacts", "t-1").stdout


def test_a_file_that_is_not_what_the_list_says_is_not_kept(
    server: scripted.Server, run: Sandbox
) -> None:
    holds(server, b"another")

    result = run("download", "t-1", "r.md", "--verify")

    assert result.exit_code == 6
    assert not Path("r.md").exists()
