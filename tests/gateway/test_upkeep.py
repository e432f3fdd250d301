"""What the gateway does for ever goes on, whatever fails, hangs, or is not read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import settings
from knify.gateway import door, doors, main
from knify.gateway import line as lines
from knify.gateway.account import Booking
from knify.gateway.policy import Policy
from knify.store import keys
from knify.store.doors import Doors as DoorStore
from knify.store.notices import Notices
from knify.store.usage import Usage, Usages
from tests.gateway import porch as porches
from tests.gateway import rig as rigs
from tests.parts.stack import eventually

OUT: dict[str, Any] = {"network_mode": "outbound", "allowed_hosts": ("web.test",)}


@pytest.fixture
def porch(monkeypatch: pytest.MonkeyPatch) -> Iterator[porches.Porch]:
    with porches.running(monkeypatch) as running:
        yield running


@pytest.fixture
def rig(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[rigs.Rig]:
    monkeypatch.setattr(doors, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(doors, "_CHECK_SECONDS", 0.05)
    with rigs.running(redis_url, tmp_path / "home", monkeypatch) as running:
        yield running


@pytest.mark.parametrize("how", ["closed", "overdue"])
def test_who_reads_no_answer_keeps_a_place_until_the_descriptor_is_free(
    porch: porches.Porch, how: str
) -> None:
    sockets: list[Any] = []

    async def serve(_: door.Door, line: lines.Line) -> None:
        sockets.append(line.writer.get_extra_info("socket"))
        line.writer.write(b"x" * 16_000_000)  # more than any socket's buffer takes

    address = ("127.0.0.1", porch.open(serve))
    opened = porch.doors[-1]
    with contextlib.ExitStack() as deaf:
        for _ in range(3):
            deaf.enter_context(socket.create_connection(address)).shutdown(socket.SHUT_WR)
        eventually(lambda: len(sockets) == 3 and all(line.is_ending for line in opened._lines))
        assert (opened.connections, opened._places.taken) == (3, 3)

        if how == "closed":
            porch.make(opened.close)
        else:
            later = time.monotonic() + lines.WRITE_SECONDS + 1
            porch.make(lambda: opened.abort_overdue(later))

        eventually(lambda: (opened.connections, opened._places.taken) == (0, 0))
        assert [one.fileno() for one in sockets] == [-1, -1, -1]


def test_who_reads_late_gets_all_of_the_answer(porch: porches.Porch) -> None:
    async def serve(_: door.Door, line: lines.Line) -> None:
        line.writer.write(b"x" * 16_000_000)

    with socket.create_connection(("127.0.0.1", porch.open(serve)), timeout=30) as slow:
        eventually(lambda: any(line.is_ending for line in porch.doors[-1]._lines))
        size = 0
        while data := slow.recv(1_000_000):
            size += len(data)

    assert size == 16_000_000
    eventually(lambda: porch.doors[-1].connections == 0)


def silent(rig: rigs.Rig, stack: contextlib.ExitStack) -> door.Door:
    """A door with a connection that says nothing."""
    name, _ = rig.open(**OUT)
    stack.enter_context(socket.create_connection(("127.0.0.1", rig.ports[-1]), timeout=30))
    found = rig.gateway.doors.get(name)
    assert found is not None
    eventually(lambda: found.connections == 1)
    return found


def test_a_door_that_fails_leaves_the_others_their_deadlines(
    rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: float) -> None:
        raise RuntimeError("unexpected")

    with contextlib.ExitStack() as stack:
        first, second = silent(rig, stack), silent(rig, stack)
        monkeypatch.setattr(first, "abort_overdue", failing)
        for line in second._lines:
            line.deadline = 0.0

        eventually(lambda: second.connections == 0)


@pytest.mark.parametrize("part", [(DoorStore, "kept"), (Usages, "add"), (Notices, "tell")])
def test_a_redis_that_hangs_holds_no_deadline_up(
    rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch, part: tuple[type, str]
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hanging(*_: Any) -> None:
        hangs.set()
        goes_on.wait(60)
        raise RuntimeError("late")

    with contextlib.ExitStack() as stack:
        stack.callback(goes_on.set)
        found, closed = silent(rig, stack), silent(rig, stack)
        monkeypatch.setattr(*part, hanging)
        Booking(closed.account).set(Usage(calls=1))
        rig.make(lambda: closed.told.add("model_error", "429"))
        rig.make(lambda: rig.gateway.doors._shut(closed))
        assert hangs.wait(30)
        for line in found._lines:
            line.deadline = 0.0

        eventually(lambda: found.connections == 0)


def test_what_failed_unexpectedly_is_told_all_the_same(
    rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = rig.open(**OUT)
    found, tell, failures = rig.gateway.doors.get(name), Notices.tell, [RuntimeError("unexpected")]
    assert found is not None

    def failing(*arguments: Any) -> bool:
        if failures:
            raise failures.pop()
        return tell(*arguments)

    monkeypatch.setattr(Notices, "tell", failing)
    rig.make(lambda: found.told.add("model_error", "429"))

    eventually(lambda: found.told.is_saved)
    assert rig.told(name) == [("model_error", "429")] and not failures


@pytest.mark.parametrize("rubbish", ["nonsense", "[]", "7", '{"policy": []}'])
def test_a_door_that_cannot_be_read_is_forgotten_and_the_others_are_opened(
    rig: rigs.Rig, rubbish: str
) -> None:
    name, _ = rig.open(**OUT)
    kept = rig.core.store.doors.kept("n")[name]
    kept["policy"]["of_a_later_version"] = 1
    kept["of_a_later_version"] = 1
    rig.make(rig.gateway.doors._open[name].close)
    del rig.gateway.doors._open[name]
    rig.core.store.doors.keep("n", name, kept)
    rig.core.store.client.hset(keys.doors("n"), "rubbish", rubbish)

    assert rig.call(rig.gateway.doors.reopen())

    assert list(rig.core.store.doors.kept("n")) == [name]
    assert rig.gateway.doors.get(name) is not None


def test_of_what_a_user_changed_only_known_fields_count() -> None:
    changed = Policy(**OUT).changed({"network_mode": "full", "of_a_later_version": 1})

    assert changed == Policy(**OUT | {"network_mode": "full"})


@pytest.mark.parametrize("how", [RuntimeError("unexpected"), None])
def test_a_gateway_that_cannot_go_on_ends(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Exception | None
) -> None:
    config = settings.load(
        {"KNIFY_HOME": str(tmp_path), "KNIFY_REDIS_URL": redis_url, "KNIFY_NODE": "n"}
    )
    config.run_dir.mkdir(parents=True)
    gateway = main.Gateway(config)

    async def ending() -> None:
        if how is not None:
            raise how

    monkeypatch.setattr(gateway, "_hear", lambda _: None)
    monkeypatch.setattr(gateway.doors, "_end_overdue", ending)

    assert asyncio.run(asyncio.wait_for(gateway.run(), 30)) == 1
