"""The other commands, and how commands fail."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from knify.cli import main, show
from tests.cli.conftest import Run
from tests.client import scripted

EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\ttab\x07 \x9b2J \u202eabc \r over"
SAFE = "red\ttab\\x07 \\x9b2J \\u202eabc \\x0d over"


def test_jobs_are_listed_as_a_table_or_as_json(server: scripted.Server, knify: Run) -> None:
    row = {"id": "job_" + "1" * 26, "status": "running", "name": "n" * 120}
    server.on("GET", "/jobs", {"data": [row | {"spec": {"job_type": "command_task"}}]})

    table, document = knify("jobs", "list", "--status", "running"), knify("jobs", "list", "--json")

    assert table.stdout.splitlines()[1].split() == [
        row["id"], "running", row["name"],
    ]  # fmt: skip
    assert json.loads(document.stdout)[0]["id"] == row["id"]
    assert server.requests[0].query == {"status": "running", "limit": "20"}


def test_hostile_text_cannot_reach_the_terminal(server: scripted.Server, knify: Run) -> None:
    server.on_job("job_1", name=EVIL, error=EVIL, spec={"job_type": "command_task"})
    server.on("GET", "/jobs", [{"id": EVIL, "status": "running", "name": EVIL}])
    server.on_stream("/jobs/job_1/output/stream", [{"line": EVIL, "stream": "stdout"}])
    server.on("GET", "/jobs/job_1/events", {"events": [{"stage": EVIL, "detail": EVIL}]})
    server.on("GET", "/jobs/bad", {"error": EVIL, "code": "X", "detail": {"a": EVIL}}, 400)

    for words in ("list", "show job_1", "logs job_1", "events job_1", "show bad"):
        result = knify("jobs", *words.split())
        assert SAFE.partition("\t")[2] in result.output, words
        assert not set(result.output) & set("\x1b\x07\x9b\u202e\r"), words


def test_raw_logs_are_every_byte_as_it_was_written(server: scripted.Server, knify: Run) -> None:
    line = "\x1b[31mred\x1b[0m\udcff"
    server.on_job("job_1", "running")
    server.on("GET", "/jobs/job_1/output", {"events": [{"line": line, "stream": "stdout"}]})

    result = knify("jobs", "logs", "job_1", "--raw")

    assert result.stdout_bytes == b"\x1b[31mred\x1b[0m\xff\n"
    assert server.seen("GET", "/jobs/job_1/output")[0].query == {"raw": "1"}


def test_logs_and_events_are_followed(server: scripted.Server, knify: Run) -> None:
    server.on_job("job_1")
    server.on_stream("/jobs/job_1/events/stream", [{"ts": "T", "stage": "failed", "detail": "d"}])
    output = [{"type": "agent_message", "message": "a\nb"}, {"type": "completed", "status": "x"}]
    server.on_stream("/jobs/job_1/output/stream", output)

    assert knify("jobs", "logs", "job_1", "--follow").stdout == "a\nb\n"
    assert knify("jobs", "events", "job_1", "-f").stdout == "T  · failed  d\n"
    lines = knify("jobs", "logs", "job_1", "-f", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == output


def test_a_job_is_shown_cancelled_and_cleaned_up(server: scripted.Server, knify: Run) -> None:
    server.on_job("job_1", "failed", error="no\nluck", exit_code=3)
    server.on("POST", "/jobs/job_1/cancel", {"job_id": "job_1", "status": "cancelled"})
    server.on("POST", "/jobs/job_1/cleanup", {"success": True, "message": "cleaned"})

    assert "error       no\n            luck\n" in knify("jobs", "show", "job_1").stdout
    assert knify("jobs", "cancel", "job_1").stdout == "job_1 is cancelled\n"
    assert knify("jobs", "cleanup", "job_1", "--force").stdout == "cleaned\n"
    assert server.requests[-1].query == {"force": "true"}


def test_artifacts_are_listed_and_downloaded(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    sha = hashlib.sha256(b"data").hexdigest()
    server.on("GET", "/jobs/job_1/artifacts", {"a/b": {"size_bytes": 4, "sha256": sha}})
    server.on("GET", "/jobs/job_1/artifacts/a/b", b"data", ETag=f'"{sha}"')
    server.on_job("job_1", files=["a/b"])

    assert knify("jobs", "artifacts", "job_1").stdout.split()[-4:] == ["a/b", "4", "B", sha[:12]]
    assert knify("jobs", "download", "job_1", "--output", "o").exit_code == 0
    assert (here / "o/a/b").read_bytes() == b"data"


def test_workspaces_are_pushed_and_listed(server: scripted.Server, knify: Run, here: Path) -> None:
    (here / "demo").mkdir()
    server.on("POST", "/workspaces", {"path": "/workspaces/demo", "version": 2})
    server.on("GET", "/workspaces", [{"path": "/workspaces/demo", "size_bytes": 2048}])

    assert knify("workspaces", "push", "demo").stdout == "/workspaces/demo, version 2\n"
    assert "/workspaces/demo" in knify("workspaces", "list").stdout
    assert "2.0 KiB" in knify("workspaces", "list").stdout


def test_a_new_key_is_alone_on_stdout(server: scripted.Server, knify: Run) -> None:
    server.on("POST", "/keys", {"id": "k", "key": "knify_live_k_s"})
    server.on("GET", "/keys", [{"id": "k", "scopes": ["read", "write"]}])
    server.on("DELETE", "/keys/k", b"", 204)

    made = knify("keys", "create", "--name", "ci", "--scope", "read", "--scope", "write")

    assert made.stdout == "knify_live_k_s\n"
    assert server.requests[0].json() == {"name": "ci", "scopes": ["read", "write"]}
    assert "read,write" in knify("keys", "list").stdout
    assert knify("keys", "revoke", "k").exit_code == 1
    assert knify("keys", "revoke", "k", "--yes").exit_code == 0


def test_a_missing_server_gives_exit_code_3_and_says_how_to_start_it(here: Path) -> None:
    result = click.testing.CliRunner().invoke(
        main.cli, ["jobs", "list"], env={"KNIFY_URL": "http://127.0.0.1:1"}
    )

    assert result.exit_code == 3
    assert "knify up" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "environ"),
    [("jobs list", {"KNIFY_URL": "nonsense"}), ("up", {"KNIFY_PORT": "many"})],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    knify: Run, command: str, environ: dict[str, str]
) -> None:
    result = knify(*command.split(), **environ)

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert next(iter(environ)) in result.stderr


def test_a_wrong_key_says_where_the_right_one_comes_from(
    server: scripted.Server, knify: Run
) -> None:
    server.on("GET", "/jobs", {"error": "Invalid API key", "code": "UNAUTHORIZED"}, 401)

    result = knify("jobs", "list")

    assert result.exit_code == 4
    assert "KNIFY_API_KEY is set" in result.stderr


@pytest.mark.parametrize("program", ["main", "sandbox"])
def test_help_is_there_at_once_because_nothing_heavy_is_imported(program: str) -> None:
    code = (
        f"import sys; from knify.cli import {program} as p\n"
        "p.cli(['--help'], standalone_mode=False)\n"
        "heavy = {'httpx', 'rich', 'flask', 'celery', 'boto3', 'redis', 'environs'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"


def test_the_version_is_told(knify: Run) -> None:
    assert knify("--version").stdout.startswith("knify, version ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [(EVIL, SAFE), ("a\r\n", "a"), ("\ud800", "\ufffd"), ("\x1b", "\\x1b"), ("ä✓", "ä✓")],
)
def test_text_is_made_safe_for_a_terminal(text: str, shown: str) -> None:
    assert show.clean(text) == shown


def test_sandboxes_are_listed_and_shown(server: scripted.Server, knify: Run) -> None:
    row = {"id": "sandbox_1", "state": "paused", "node": "n", "image": "i", "jobs": []}
    server.on("GET", "/sandboxes", [row])
    server.on("GET", "/sandboxes/sandbox_1", row)

    assert knify("sandboxes", "list").stdout.splitlines()[1].split()[:3] == [
        "sandbox_1", "paused", "n",
    ]  # fmt: skip
    assert "paused" in knify("sandboxes", "show", "sandbox_1").stdout
    server.on("POST", "/sandboxes/sandbox_1/extend", row | {"expires_at": "2027-01-01T00:00:00Z"})
    kept = knify("sandboxes", "extend", "sandbox_1", "--expires-in", "7d").stdout
    assert kept == "sandbox_1 is kept until 2027-01-01T00:00:00Z\n"


def test_orphans_are_listed_with_what_is_left_of_them(server: scripted.Server, knify: Run) -> None:
    orphan = {"id": EVIL, "node": "n", "kinds": ["container", "volume"], "found_at": "t"}
    server.on("GET", "/sandboxes", [orphan])
    result = knify("sandboxes", "list", "--orphans")
    assert "container, volume" in result.stdout
    assert SAFE.partition("\t")[2] in result.output
    assert server.requests[-1].query == {"orphans": "true", "limit": "100"}


def test_a_workspace_is_known_by_its_name_too(server: scripted.Server, knify: Run) -> None:
    rows = [
        {"workspace_id": f"workspace_{n}", "path": "/workspaces/demo", "version": n} for n in (2, 1)
    ]
    server.on("GET", "/workspaces", rows)
    for row in rows:
        server.on("GET", f"/workspaces/{row['workspace_id']}", row)
        server.on("DELETE", f"/workspaces/{row['workspace_id']}", {"success": True})

    assert "workspace_2" in knify("workspaces", "show", "demo").stdout
    assert "workspace_1" in knify("workspaces", "show", "/workspaces/demo@1").stdout
    assert knify("workspaces", "delete", "demo@1", "-y").stdout == "/workspaces/demo@1 is deleted\n"
    assert "there is 2, 1" in knify("workspaces", "show", "demo@7").stderr
    assert server.requests[0].query == {"name": "demo"}


def test_a_name_that_is_no_workspace_says_how_to_find_one(
    server: scripted.Server, knify: Run
) -> None:
    server.on("GET", "/workspaces", [])

    result = knify("workspaces", "download", "demo")

    assert result.exit_code == 6
    assert "knify workspaces list" in result.stderr


def test_what_stays_here_is_told_and_what_looks_secret(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    for name in ("demo/knify-job_1/report.md", "demo/sub/__pycache__/a.pyc", "demo/.env", "demo/a"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    server.on("POST", "/workspaces", {"path": "/workspaces/demo", "version": 2})

    result = knify("workspaces", "push", "demo")

    assert "left out: knify-job_1, __pycache__\n" in result.stderr
    assert "! .env may hold secrets" in result.stderr
    assert result.stdout == "/workspaces/demo, version 2\n"


def test_an_archive_that_is_none_is_not_written(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    assert knify("jobs", "download", "job_1", "--archive", "all.zip").exit_code == 2
    assert not server.requests


def test_a_refusal_speaks_the_words_of_the_command_line(
    server: scripted.Server, knify: Run
) -> None:
    wrong = {"error": "no workspace x: upload it with POST /workspaces", "code": "BAD_REQUEST"}
    server.on("GET", "/jobs/a", wrong, 400)
    failed = {"error": "oh", "code": "INTERNAL_ERROR", "detail": {"request_id": "r-1"}}
    server.on("GET", "/jobs/b", failed, 500, X_Request_Id="r-1")

    assert "upload it with `knify workspaces push`" in knify("jobs", "show", "a").stderr
    assert knify("jobs", "show", "b").stderr.count("r-1") == 1


def test_something_else_than_knify_counts_as_no_server(server: scripted.Server, knify: Run) -> None:
    server.on("GET", "/jobs", b"<html>", 404, Content_Type="text/html")

    result = knify("jobs", "list")

    assert result.exit_code == 3
    assert "is no Knify server" in result.stderr


def test_a_refused_key_is_told_by_its_origin(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    (here / "admin.key").write_text("knify_live_a_b\n")
    server.on("GET", "/jobs", {"error": "Missing or invalid", "code": "UNAUTHORIZED"}, 401)

    result = knify("jobs", "list", KNIFY_API_KEY="", KNIFY_HOME=str(here))

    assert f"{here}/admin.key was used: that key was refused" in result.stderr


def test_a_question_without_a_terminal_says_what_spares_it(
    server: scripted.Server, knify: Run
) -> None:
    assert "--yes does not ask" in knify("webhooks", "delete", "w").stderr
    assert not server.requests


def test_the_homes_file_says_where_the_server_is(
    server: scripted.Server, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET", "/jobs", [])
    (here / ".env").write_text(f"KNIFY_URL={server.url}\nKNIFY_API_KEY=knify_test_a_b\n")
    for name in ("KNIFY_URL", "KNIFY_API_KEY"):
        monkeypatch.setenv(name, "to be forgotten again at the end")
        monkeypatch.delenv(name)

    found = click.testing.CliRunner().invoke(
        main.cli, ["jobs", "list"], env={"KNIFY_HOME": str(here)}
    )

    assert found.exit_code == 0, found.output
    assert len(server.requests) == 1
