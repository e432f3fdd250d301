"""The examples do what their texts say."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.agents import driving

#: The runbook runs pytest too, with options of its own.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
EXAMPLE = Path(__file__).parents[2] / "examples/inspect-package"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "workspace"))


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH of what the smallest image with Python has: no Node.js, no bash."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("sh", "find", "wc", "mkdir", "cp", "cat"):
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"needs {name}"))
    (folder / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python3").chmod(0o755)
    return folder


def test_the_inspection_finds_the_failing_test_and_goes_on(workspace: Path, tmp_path: Path) -> None:
    done = driving.run("@runbook.md", workspace, tmp_path / "turn", env=ENV)

    assert done.exit_code == 0, done.lines("stderr")
    result = json.loads((workspace / "result.json").read_text())
    assert result["tests"] == {"passed": 6, "failed": 1}
    assert result["undocumented"] == ["truncate"]
    assert result["functions"] == 4
    report = (workspace / "report.md").read_text()
    assert "6 passed, 1 failed" in report
    assert "test_the_result_is_never_longer_than_the_limit" in report
    if shutil.which("node"):
        assert result["todos"] == 1
        assert "`tidytext/shaping.py:14` say in a docstring" in report


@pytest.mark.slow
def test_the_follow_up_continues_with_what_the_inspection_left(
    workspace: Path, tmp_path: Path
) -> None:
    driving.run("@runbook.md", workspace, tmp_path / "first", env=ENV)
    shaping = workspace / "tidytext/shaping.py"
    shaping.write_text(shaping.read_text().replace("text[:limit]", "text[: limit - len(ending)]"))

    done = driving.run("@follow-up.md", workspace, tmp_path / "second", env=ENV)

    assert done.exit_code == 0, done.lines("stderr")
    result = json.loads((workspace / "result.json").read_text())
    assert result["follow_up"]["tests"] == {"passed": 7, "failed": 0}
    assert len(result["follow_up"]["fixed_since"]) == 1
    assert "## Follow-up\n\nPassed 6 → 7, failed 1 → 0." in (workspace / "report.md").read_text()


def test_the_follow_up_alone_says_what_is_missing(workspace: Path, tmp_path: Path) -> None:
    done = driving.run("@follow-up.md", workspace, tmp_path / "turn")

    assert done.exit_code == 1
    assert "run runbook.md first" in done.lines("stderr")[0]


@pytest.mark.slow
def test_an_image_without_node_only_lacks_the_todos(
    workspace: Path, tmp_path: Path, tools: Path
) -> None:
    done = driving.run("@runbook.md", workspace, tmp_path / "turn", env={"PATH": str(tools)})

    assert done.exit_code == 0, done.lines("stderr")
    assert json.loads((workspace / "result.json").read_text())["todos"] is None
    assert "Not searched: this image has no Node.js." in (workspace / "report.md").read_text()
