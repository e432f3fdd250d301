"""The Tab key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click import shell_completion

from knify.cli import main
from tests.cli.conftest import Run
from tests.client import scripted

COMPLETE = shell_completion.ShellComplete(main.cli, {}, "knify", "_KNIFY_COMPLETE")


@pytest.fixture(autouse=True)
def known(server: scripted.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNIFY_URL", server.url)
    monkeypatch.setenv("KNIFY_API_KEY", "knify_test_a_b")


def words(*before: str, incomplete: str = "") -> dict[str, str | None]:
    found = COMPLETE.get_completions(list(before), incomplete)
    return {item.value: item.help for item in found}


def test_commands_and_options_are_known_without_a_server(server: scripted.Server) -> None:
    assert {"list", "show", "wait", "logs"} <= set(words("jobs"))
    assert "--follow" in words("jobs", "logs", incomplete="--f")
    assert not server.requests


def test_ids_come_from_the_server_and_are_harmless(server: scripted.Server) -> None:
    rows = [
        {"id": "job_1", "status": "failed", "name": "\x1b[31mevil\n\tname"},
        {"id": "job_$(rm -rf)", "status": "failed"},
        {"id": "other", "status": "failed"},
    ]
    server.on("GET", "/jobs", rows)

    assert words("jobs", "show", incomplete="job_") == {"job_1": "failed evil\\x0a name"}


def test_a_server_that_is_away_is_no_trouble(server: scripted.Server) -> None:
    server.on("GET", "/jobs", {}, 503)

    assert words("jobs", "show") == {}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(knify: Run, shell: str) -> None:
    result = knify("completion", shell)

    assert result.exit_code == 0
    assert f"_KNIFY_COMPLETE={shell}_complete" in result.stdout


def test_bash_takes_its_script() -> None:
    script = f'eval "$({sys.executable} -m knify.cli.main completion bash)" && complete -p knify'

    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert "_knify_completion" in done.stdout


def test_a_workspace_is_a_folder_or_a_name(server: scripted.Server, here: Path) -> None:
    (here / "demo").mkdir()
    (here / "demo.txt").touch()
    rows = [{"workspace_id": f"workspace_{n}", "path": "/workspaces/demos"} for n in (1, 2)]
    server.on("GET", "/workspaces", rows)

    assert list(words("run", "x", "--workspace", incomplete="de")) == ["demo/", "demos"]


def test_a_runbook_is_completed_behind_its_mark(server: scripted.Server, here: Path) -> None:
    (here / "books").mkdir()
    (here / "books/run.md").touch()

    assert list(words("run", incomplete="@b")) == ["@books/"]
    assert list(words("run", incomplete="@books/r")) == ["@books/run.md"]
    assert not server.requests
