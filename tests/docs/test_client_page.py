"""docs/client.md: its Python runs as it stands, and its table names what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from knify.client import Client, errors
from tests.client import autopilot

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_run_one_after_the_other(
    redis_url: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    with autopilot.connected(redis_url, home) as core, autopilot.serving(core) as (url, key):
        monkeypatch.setenv("KNIFY_URL", url)
        monkeypatch.setenv("KNIFY_API_KEY", key)
        with autopilot.working(core):
            for block in BLOCKS:
                exec(compile(block, "docs/client.md", "exec"), names)
        names["client"].close()

    said = capsys.readouterr().out
    assert said.startswith("completed {'hi.txt': 'hi\\n'}\n")
    assert "build completed\ntest completed\ncompleted\n" in said
    assert "['completed', 'completed', 'completed']" in said
    assert "400 BAD_REQUEST" in said and "did you mean command?" in said
    assert "no such job" in said
    assert (tmp_path / "results" / "hi.txt").read_text() == "hi\n"


def test_the_table_names_every_method() -> None:
    table = PAGE.split("## What there is")[1].split("##")[0]
    named = {name for row in table.splitlines() if row.startswith("| ") for name in _names(row)}
    there = {name for name in vars(Client) if not name.startswith("_")}

    assert named == there - {"close", "run", "each"}


def test_the_table_of_errors_names_every_class() -> None:
    named = set(_names(PAGE.split("## Errors")[1].split("## Retries")[0]))
    there = {name for name, kind in vars(errors).items() if isinstance(kind, type)}

    assert there - {"Final"} <= named


def _names(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)
