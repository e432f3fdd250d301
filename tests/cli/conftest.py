from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest

from knify.cli import main
from tests.client import scripted

Run = Callable[..., click.testing.Result]


@pytest.fixture
def server() -> Iterator[scripted.Server]:
    with scripted.running() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def knify(server: scripted.Server, here: Path) -> Run:
    """Runs `knify …` against the scripted server."""

    def run(*args: str, stdin: str | None = None, **environ: str) -> click.testing.Result:
        env = {"KNIFY_URL": server.url, "KNIFY_API_KEY": "knify_test_a_b"} | environ
        return click.testing.CliRunner().invoke(main.cli, args, stdin, env=env)

    return run
