"""`knify run` from the submission to the exit code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.client import scripted

STEPS = [
    {"ts": "t", "stage": "sandbox_created", "level": "info", "detail": "Sandbox provisioned"},
    {"ts": "t", "stage": "completed", "level": "info", "detail": ""},
]
OUTPUT: list[dict[str, Any]] = [
    {
        "type": "tool_use",
        "id": "01",
        "tool": "run_command",
        "parameters": {"language": "shell", "command": "make\nmake test"},
    },
    {"type": "progress", "message": "compiling", "stream": "stdout"},
    {"type": "tool_result", "id": "01", "status": "success", "exit_code": 0, "duration_ms": 1234},
    {"type": "tool_use", "id": "02", "tool": "write_file", "parameters": {"n": 1, "path": "a"}},
    {"type": "tool_result", "id": "02", "status": "error", "exit_code": 3},
    {"type": "file_created", "path": "report.md"},
    {"type": "warning", "code": "SLOW", "message": "that took long"},
    {"type": "completed", "status": "completed"},
]
REPORT = b"# Report\n"
SHA = hashlib.sha256(REPORT).hexdigest()


def script(
    server: scripted.Server, status: str = "completed", output: Any = None, **job: Any
) -> None:
    """A job that is accepted, runs, and leaves one file."""
    server.on("POST", "/jobs", {"job_id": "job_1", "status": "pending"})
    server.on_stream("/jobs/job_1/events/stream", STEPS)
    server.on_stream("/jobs/job_1/output/stream", OUTPUT if output is None else output)
    server.on("GET", "/jobs/job_1/artifacts/report.md", REPORT, ETag=f'"{SHA}"')
    server.on_job("job_1", status, **({"files": ["report.md"]} | job))


def spec_of(server: scripted.Server) -> Any:
    return server.seen("POST", "/jobs")[0].json()["spec"]


def earlier(server: scripted.Server, kind: str) -> None:
    """The job that another one continues."""
    job = {"id": "job_0", "status": "completed", "spec": {"job_type": kind}}
    server.on("GET", "/jobs/job_0", job)


def test_a_runbook_is_sent_as_text_and_followed_to_its_files(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    (here / "demo.md").write_text("```sh\nmake\n```")
    script(server)

    result = knify("run", "@demo.md")

    assert result.exit_code == 0, result.output
    assert spec_of(server) == {"job_type": "runbook_task", "prompt": "```sh\nmake\n```"}
    lines = result.stdout.splitlines()
    assert lines[0] == "job job_1"
    shown = [line for line in lines if line[0] in "▶✓✗+!c"]
    assert shown == [
        "▶ shell: make …",
        "compiling",
        "✓ done (1.2 s)",
        "▶ write_file: a",
        "✗ failed (exit code 3)",
        "+ report.md",
        "! SLOW: that took long",
        "✓ completed",
    ]
    assert "· sandbox_created  Sandbox provisioned" in lines
    assert any(line.split() == ["report.md", "9", "B", SHA[:12]] for line in lines)
    assert "\x1b" not in result.output
    assert (here / "knify-job_1" / "report.md").read_bytes() == REPORT


def test_a_plain_argument_is_a_command_whose_lines_are_shown(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    script(server, output=[{"n": 1, "stream": "stderr", "line": "[bold]hi[/] :smile:"}])

    result = knify(
        "run", "make test", "-e", "A=1=2", "--timeout", "5m", "--name", "n",
        "--image", "localhost/x", "--output", "out",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert spec_of(server) == {
        "job_type": "command_task",
        "command": "make test",
        "env": {"A": "1=2"},
        "timeout": "5m",
        "image": "localhost/x",
    }
    assert "[bold]hi[/] :smile:" in result.stdout.splitlines()
    assert (here / "out" / "report.md").exists()


def test_a_failed_job_gives_exit_code_1_and_its_reason(server: scripted.Server, knify: Run) -> None:
    script(server, "failed", exit_code=7, error="the command failed")

    result = knify("run", "false", "--no-download")

    assert result.exit_code == 1
    assert "✗ failed (exit code 7): the command failed" in result.stdout


def test_a_folder_is_uploaded_and_its_version_pinned(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    (here / "project").mkdir()
    (here / "project" / "demo.md").touch()
    server.on("POST", "/workspaces", {"path": "/workspaces/project", "version": 4})
    script(server)

    for name in ("demo.md", "project/demo.md"):
        assert knify("run", f"@{name}", "--workspace", "project").exit_code == 0

    for request in server.seen("POST", "/jobs"):
        assert request.json()["spec"]["workspace_path"] == "/workspaces/project@4"
        assert request.json()["spec"]["prompt"] == "@demo.md"


def test_a_workspace_may_be_named(server: scripted.Server, knify: Run) -> None:
    script(server)

    assert knify("run", "@in/it.md", "-w", "e2e-tests").exit_code == 0

    assert spec_of(server)["workspace_path"] == "/workspaces/e2e-tests"
    assert spec_of(server)["prompt"] == "@in/it.md"


@pytest.mark.parametrize(
    "args",
    [
        ("@missing.md",),
        ("x", "-e", "A"),
        ("--", "ls", "-l"),
        ("x", "-w", "./missing"),
        ("x", "--type", "nonsense"),
        (),
        ("",),
        (" \n",),
        ("@",),
        ("x", "--continue", "job_0", "--memory", "1G"),
        ("x", "-m", "A"),
        ("@empty.md",),
    ],
)
def test_wrong_usage_gives_exit_code_2_and_asks_no_server(
    server: scripted.Server, knify: Run, here: Path, args: tuple[str, ...]
) -> None:
    (here / "empty.md").touch()

    result = knify("run", *args)

    assert result.exit_code == 2
    assert not server.requests


def test_without_following_the_id_is_all_of_stdout(server: scripted.Server, knify: Run) -> None:
    script(server)

    result = knify("run", "true", "--no-follow")

    assert result.stdout == "job_1\n"
    assert "knify jobs logs job_1 --follow" in result.stderr


def test_json_is_all_of_stdout(server: scripted.Server, knify: Run) -> None:
    script(server)

    result = knify("run", "true", "--json", "--type", "command_task")

    document = json.loads(result.stdout)
    assert document["status"] == "completed"
    assert document["downloads"][0]["sha256"] == SHA
    assert "sandbox_created" in result.stderr


def test_the_sandbox_is_cleaned_up_on_request(server: scripted.Server, knify: Run) -> None:
    script(server)
    server.on("POST", "/jobs/job_1/cleanup", {"success": True, "message": "gone"})

    assert knify("run", "true", "--cleanup").exit_code == 0

    assert server.seen("POST", "/jobs/job_1/cleanup")


def test_a_job_is_continued_in_its_sandbox(server: scripted.Server, knify: Run) -> None:
    script(server)
    earlier(server, "command_task")
    server.on("POST", "/jobs/job_0/continue", {"job_id": "job_1", "status": "pending"})

    assert knify("jobs", "continue", "job_0", "ls").exit_code == 0

    [request] = server.seen("POST", "/jobs/job_0/continue")
    assert request.json() == {"spec": {"job_type": "command_task", "command": "ls"}}


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        ((), {"job_type": "claude_task", "prompt": "And now?"}),
        (("--type", "command_task"), {"job_type": "command_task", "command": "And now?"}),
    ],
)
def test_who_goes_on_with_an_agent_speaks_to_it_unless_a_type_is_named(
    server: scripted.Server, knify: Run, options: tuple[str, ...], spec: dict[str, str]
) -> None:
    script(server)
    earlier(server, "claude_task")
    server.on("POST", "/jobs/job_0/continue", {"job_id": "job_1", "status": "pending"})

    assert knify("jobs", "continue", "job_0", "And now?", *options).exit_code == 0

    [request] = server.seen("POST", "/jobs/job_0/continue")
    assert request.json() == {"spec": spec}


@pytest.mark.parametrize(
    "words", [("run", "ls", "--continue", "job_0"), ("jobs", "continue", "job_0", "ls")]
)
def test_a_job_can_be_continued_in_both_ways(
    server: scripted.Server, knify: Run, words: tuple[str, ...]
) -> None:
    script(server, "cancelled")
    earlier(server, "runbook_task")
    server.on("POST", "/jobs/job_0/continue", {"job_id": "job_1", "status": "pending"})

    result = knify(*words, "-m", "team=a", "--priority", "3", "--hang-timeout", "1m")

    assert result.exit_code == 5
    [request] = server.seen("POST", "/jobs/job_0/continue")
    assert request.json()["spec"] == {
        "job_type": "command_task",
        "command": "ls",
        "metadata": {"team": "a"},
        "priority": 3,
        "hang_timeout": "1m",
    }


def test_a_hostile_artifact_is_not_written(server: scripted.Server, knify: Run, here: Path) -> None:
    script(server, files=["../evil"])

    result = knify("run", "true", "--output", "out")

    assert result.exit_code == 6
    assert "leads out of the target folder" in result.stderr
    assert not (here / "evil").exists()


def test_quiet_prints_the_output_alone(server: scripted.Server, knify: Run, here: Path) -> None:
    script(server, "failed", exit_code=3, error="no luck", spec={"job_type": "command_task"})
    server.skip("GET", "/jobs/job_1")
    lines = [{"line": "hello", "stream": "stdout"}]
    server.on_stream("/jobs/job_1/output/stream", lines)
    server.skip("GET", "/jobs/job_1/output/stream")

    result = knify("run", "echo hello", "--quiet")

    assert result.stdout == "hello\n"
    assert result.stderr == "✗ failed (exit code 3): no luck\n"
    assert not server.seen("GET", "/jobs/job_1/events/stream")


def test_how_a_job_ended_is_told_once(server: scripted.Server, knify: Run) -> None:
    end = {"type": "completed", "status": "failed", "error": "no luck"}
    script(server, "failed", [end], error="no luck", files=[])
    steps = [{"stage": "failed", "state": "failed", "detail": "no luck", "level": "error"}]
    server.on_stream("/jobs/job_1/events/stream", steps)
    server.skip("GET", "/jobs/job_1/events/stream")

    assert knify("run", "x", "--type", "runbook_task").output.count("no luck") == 1


def test_an_examination_takes_a_user_and_a_range(server: scripted.Server, knify: Run) -> None:
    script(server)
    span = ("--from", "2025-01-01T00:00:00Z", "--to", "2025-01-31T00:00:00Z")

    knify("run", "@user_1", "--type", "user_exam", *span)

    assert spec_of(server) == {
        "job_type": "user_exam",
        "user_id": "@user_1",
        "time_range": {"from": span[1], "to": span[3]},
    }


def test_a_range_belongs_to_examinations_and_they_need_one(
    server: scripted.Server, knify: Run
) -> None:
    assert "needs --from and --to" in knify("run", "u", "--type", "user_exam").output
    assert "belong to --type user_exam" in knify("run", "ls", "--from", "x").output


def test_a_browser_test_names_a_runbook_of_its_workspace(
    server: scripted.Server, knify: Run
) -> None:
    script(server)

    knify("run", "@create-user.md", "--type", "fh_e2e_tools")

    assert spec_of(server) == {"job_type": "fh_e2e_tools", "prompt": "@create-user.md"}


def test_an_agents_last_words_are_told_once(server: scripted.Server, knify: Run) -> None:
    said = [
        {"type": "agent_message", "text": "all is well"},
        {"type": "completed", "status": "completed", "result": "all is well\n"},
    ]
    script(server, output=said, files=[])

    loud = knify("run", "x", "--type", "claude_task")
    quiet = knify("run", "x", "--type", "claude_task", "--quiet")
    later = knify("jobs", "logs", "job_1")

    assert loud.stdout.count("all is well") == 1, loud.output
    assert quiet.stdout == later.stdout == "all is well\n"


def test_a_result_that_was_not_said_is_told(server: scripted.Server, knify: Run) -> None:
    said = [
        {"type": "agent_message", "text": "I begin"},
        {"type": "completed", "status": "completed", "result": "done it"},
    ]
    script(server, output=said, files=[])

    assert knify("run", "x", "--type", "claude_task", "-q").stdout == "I begin\ndone it\n"


def test_network_secrets_and_budgets_are_fields_of_the_job(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    script(server)

    done = knify(
        "run", "x", "--type", "claude_task", "--secret", "T=env:TOKEN", "--max-tokens", "9",
        "--max-cost-usd", "0.5", "--network", "outbound", "--allow", "pypi.org",
        "--allow", "*.x.org",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert spec_of(server) == {
        "job_type": "claude_task", "prompt": "x", "max_tokens": 9, "max_cost_usd": 0.5,
        "secrets": [{"name": "T", "source": "env", "key": "TOKEN"}],
        "network_mode": "outbound", "allowed_hosts": ["pypi.org", "*.x.org"],
    }  # fmt: skip


def test_a_field_that_the_server_refuses_is_told_as_its_option(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    problem = {"error": "max_tokens does not belong to command_task", "code": "BAD_REQUEST"}
    server.on("POST", "/jobs", problem | {"detail": {"field": "spec.max_tokens"}}, 400)

    done = knify("run", "x", "--max-tokens", "9")

    assert done.exit_code == 6 and "option: --max-tokens" in done.stderr
