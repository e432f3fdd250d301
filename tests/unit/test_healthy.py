"""A part's health is asked where it runs, and says what is wrong."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from knify import errors, healthy, settings


@pytest.fixture
def config(tmp_path: Path) -> settings.Settings:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return settings.load({"KNIFY_HOME": str(tmp_path), "KNIFY_PORT": str(port)})


def mark(config: settings.Settings, part: str) -> Path:
    """The only one there is."""
    (found,) = config.home.glob(f"{part}*.alive")
    return found


@pytest.mark.parametrize("part", ["worker", "beat"])
def test_who_says_often_that_it_lives_is_well(config: settings.Settings, part: str) -> None:
    never = healthy.check(config, part)
    healthy.note(config, part)
    now = healthy.check(config, part)
    os.utime(mark(config, part), (0, time.time() - 90))
    later = healthy.check(config, part)

    assert "No such file" in (never or "")
    assert now is None
    assert later == f"{part} has said nothing for 90 s"


def test_workers_that_share_a_home_live_each_for_itself(
    config: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy.note(config, "worker")
    os.utime(mark(config, "worker"), (0, 0))
    monkeypatch.setattr(socket, "gethostname", lambda: "second")
    before = healthy.check(config, "worker")
    healthy.note(config, "worker")

    assert "No such file" in (before or "")
    assert healthy.check(config, "worker") is None
    assert mark(config, "worker").name == "worker-second.alive"  # the first is long gone


@pytest.mark.parametrize("part", ["api", "gateway"])
def test_who_does_not_answer_is_not(config: settings.Settings, part: str) -> None:
    assert (healthy.check(config, part) or "").startswith(f"{part}: ")


def test_a_gateway_that_listens_is_well(config: settings.Settings) -> None:
    config.run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(config.gateway))
        server.listen()

        assert healthy.check(config, "gateway") is None


def test_a_part_that_is_none_is_named(config: settings.Settings) -> None:
    with pytest.raises(errors.ConfigError, match="no part 'redis': api, beat"):
        healthy.check(config, "redis")
