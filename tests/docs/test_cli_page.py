"""docs/cli.md: its lines run, its table names every command, its codes are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import click.testing
import pytest

from knify.cli import entry, main, sandbox
from tests.client import autopilot

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text()
PROGRAMS = {"knify": main.cli, "sandbox": sandbox.cli}
MANIFEST = """\
version: "1"
kind: Task
metadata: {id: task-001, name: Hello, labels: {team: platform}}
agent: {type: command, command: echo hi > hi.txt}
"""
LINES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_examples_run_one_after_the_other(
    redis_url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "runbook.md").write_text("```sh\ntrue\n```\n")
    (folder / "task.yaml").write_text(MANIFEST)
    with autopilot.connected(redis_url, home) as core, autopilot.serving(core) as (url, key):
        run = click.testing.CliRunner(env={"KNIFY_URL": url, "KNIFY_API_KEY": key})
        run.invoke(main.cli, ["workspaces", "push", ".", "--name", "demo"])
        with autopilot.working(core):
            job = ""
            for line in LINES:
                program, *words = shlex.split(line.replace("JOB", job), comments=True)
                result = run.invoke(PROGRAMS[program], words)
                assert result.exit_code == 0, f"{line}\n{result.output}"
                job = (re.findall(r"job_\w{26}", result.output) or [job])[0]

    assert (folder / "results" / "hi.txt").read_text() == "hi\n"
    assert (folder / "results.tar.gz").exists()


def test_the_table_names_every_command_and_whether_it_speaks_json() -> None:
    table = PAGE.split("## Commands")[1].split("```")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `knify")]
    named = {
        name: star for cell in cells for name, star in re.findall(r"`knify ([^`]+)`(\*?)", cell)
    }

    assert {name: bool(star) for name, star in named.items()} == _commands(main.cli)


def test_the_table_of_tasks_names_every_command() -> None:
    named = set(re.findall(r"^\| `sandbox ([^`]+)` \|", PAGE, re.MULTILINE))

    assert named == set(_commands(sandbox.cli))


def test_the_table_of_exit_codes_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    codes = {value for name, value in vars(entry).items() if name.isupper() and type(value) is int}

    assert set(map(int, rows)) == codes | {0}


def _commands(command: click.Command, path: str = "") -> dict[str, bool]:
    """Every command, and whether it has `--json`."""
    if not isinstance(command, click.Group):
        return {path.strip(): any("--json" in one.opts for one in command.params)}
    return {
        name: json
        for word, sub in command.commands.items()
        for name, json in _commands(sub, f"{path} {word}").items()
    }
