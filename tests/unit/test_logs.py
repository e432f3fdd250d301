"""Log lines say what they are about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from knify import logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    logs.configure("info", "worker")
    yield written
    root.handlers[:], root.level = before, level


def test_a_line_names_its_execution_and_sandbox_within_their_block_only(
    lines: io.StringIO,
) -> None:
    log = logging.getLogger("knify.runner")

    with logs.about(execution="exec_1", sandbox=""):
        log.info("it moved", extra={"to": "ready"})
    log.info("done")

    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (first["execution"], first["to"], first["process"]) == ("exec_1", "ready", "worker")
    assert "sandbox" not in first and "execution" not in second
