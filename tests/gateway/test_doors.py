"""Doors: opened, changed, told of, closed, and found again by the next gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from knify import errors
from knify.gateway import client, door, netns
from knify.gateway import line as lines
from knify.gateway.policy import Policy
from knify.gateway.told import MOST, Event, Told
from tests.gateway import rig as rigs
from tests.gateway import web
from tests.parts.stack import eventually

OUT = Policy("outbound", ("web.test",))


@pytest.fixture
def outside() -> Iterator[web.Web]:
    with web.running() as server:
        yield server


@pytest.fixture
def rig(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: web.Web
) -> Iterator[rigs.Rig]:
    environ = {"KNIFY_EGRESS_HOSTS": f"web.test=127.0.0.1:{outside.port}"}
    with rigs.running(redis_url, tmp_path / "home", monkeypatch, **environ) as running:
        yield running


@pytest.fixture
def control(rig: rigs.Rig) -> client.Client:
    return client.Client(rig.core.settings.gateway)


def opened(rig: rigs.Rig, control: client.Client, policy: Policy = OUT, pid: int = 0) -> str:
    name = rig.submit()
    control.open(
        execution=name, sandbox=f"s-{name}", tenant="t", pid=pid or os.getpid(), policy=policy
    )
    return name


def through(rig: rigs.Rig, url: str) -> int:
    with httpx.Client(proxy=f"http://127.0.0.1:{rig.ports[-1]}", timeout=20) as proxied:
        return proxied.get(url).status_code


def test_a_door_lets_out_what_its_policy_names_until_it_is_closed(
    rig: rigs.Rig, control: client.Client
) -> None:
    name = opened(rig, control)
    assert through(rig, "http://web.test/") == 200
    assert through(rig, "http://other.test/") == 403

    left = control.close(name)

    assert [e.stage for e in left] == ["egress_refused"]
    with pytest.raises(httpx.TransportError):
        through(rig, "http://web.test/")
    assert rig.core.store.doors.kept("n") == {}
    assert control.close(name) == left  # until they are taken
    control.ack(name, left[0].n)
    assert control.close(name) == []


def test_opened_again_it_has_the_new_policy_and_the_old_socket(
    rig: rigs.Rig, control: client.Client
) -> None:
    name = opened(rig, control)

    control.open(
        execution=name, sandbox=f"s-{name}", tenant="t", pid=os.getpid(), policy=Policy("full")
    )

    assert len(rig.ports) == 1
    assert through(rig, "http://web.test/") == 403  # full alone names none of the operator's


def test_a_sandboxs_next_turn_closes_the_door_of_the_last_one(
    rig: rigs.Rig, control: client.Client
) -> None:
    first, second = rig.submit(), rig.submit()
    for name in (first, second):
        control.open(execution=name, sandbox="s", tenant="t", pid=os.getpid(), policy=OUT)

    assert list(rig.core.store.doors.kept("n")) == [second]


def test_a_door_closes_when_its_sandbox_ends(rig: rigs.Rig, control: client.Client) -> None:
    process = subprocess.Popen(["sleep", "600"])
    name = opened(rig, control, pid=process.pid)
    found = rig.gateway.doors.get(name)
    assert found is not None and found.is_open

    process.kill()
    process.wait()

    eventually(lambda: not found.is_open)


def test_what_is_told_is_said_until_it_is_taken(rig: rigs.Rig, control: client.Client) -> None:
    name = opened(rig, control)
    heard: list[tuple[str, Event]] = []

    async def hear(execution: str, event: Event) -> bool:
        heard.append((execution, event))
        return len(heard) > 1  # the first time it cannot be published

    async def met() -> None:
        pass

    loop = asyncio.new_event_loop()
    task = loop.create_task(control.hear(hear, met))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    through(rig, "http://other.test/")

    eventually(lambda: len(heard) == 2 and not rig.told(name))
    assert {execution for execution, _ in heard} == {name}
    loop.call_soon_threadsafe(task.cancel)
    eventually(task.done)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def test_the_next_gateway_opens_what_still_runs_and_forgets_the_rest(
    rig: rigs.Rig, control: client.Client
) -> None:
    lives, ended = opened(rig, control), opened(rig, control)
    process = subprocess.Popen(["sleep", "600"])
    dead = opened(rig, control, pid=process.pid)
    process.kill()
    process.wait()
    rig.core.store.executions.cancel(ended, "enough", {"t": 0, "e": []})
    kept = rig.core.store.doors.kept("n")
    assert set(kept) == {lives, ended, dead}
    rig.call(_forget(rig))

    rig.call(rig.gateway.doors.reopen())

    assert list(rig.core.store.doors.kept("n")) == [lives]
    assert through(rig, "http://web.test/") == 200


async def _forget(rig: rigs.Rig) -> None:
    """What a killed process leaves: the table in Redis alone."""
    for one in rig.gateway.doors._open.values():
        one.close()
    rig.gateway.doors._open.clear()


def test_without_a_gateway_the_worker_waits_and_says_so(tmp_path: Path) -> None:
    away = client.Client(tmp_path / "gateway.sock")

    with pytest.raises(errors.GatewayAway):
        away.open(execution="x", sandbox="s", tenant="t", pid=os.getpid(), policy=OUT, seconds=0.3)


def test_another_process_under_the_same_pid_is_not_let_out(
    rig: rigs.Rig, control: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(["sleep", "600"])
    process.kill()
    process.wait()

    with pytest.raises(errors.SandboxGone):
        opened(rig, control, pid=process.pid)
    assert netns.started(process.pid) is None


def test_silent_connections_of_one_sandbox_leave_the_others_alone(
    rig: rigs.Rig, control: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CONNECTIONS", 40)
    name = opened(rig, control)
    address = ("127.0.0.1", rig.ports[-1])
    with contextlib.ExitStack() as silent:
        for _ in range(door.CONNECTIONS + 10):
            silent.enter_context(socket.create_connection(address, timeout=20))
        flooded = rig.gateway.doors.get(name)
        assert flooded is not None
        eventually(lambda: [stage for stage, _ in rig.told(name)] == ["egress_refused"])
        assert flooded.connections == door.CONNECTIONS

        opened(rig, control)
        assert through(rig, "http://web.test/") == 200
        rig.call(_overdue(flooded))

        eventually(lambda: flooded.connections == 0)


async def _overdue(flooded: door.Door) -> None:
    """As the doors' clock does, when their time is over."""
    flooded.abort_overdue(time.monotonic() + lines.HEAD_SECONDS + 1)


@pytest.mark.parametrize("line", [b"{}", b"[]", b"nonsense", b'{"verb":"open","pid":"x"}'])
def test_rubbish_on_the_control_socket_harms_nothing(
    rig: rigs.Rig, control: client.Client, line: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(rig.core.settings.gateway))
        connection.sendall(line + b"\n")
        connection.settimeout(20)
        connection.recv(1_000)

    assert control.status()["connections"] == 0


def test_of_very_many_events_only_some_are_told() -> None:
    told = Told()

    for n in range(10 * MOST):
        told.once("egress_refused", f"{n}.com was refused")
        told.once("egress_refused", "0.com was refused")
    told.add("model_error", "429")

    details = [event.detail for event in told.waiting.values()]
    assert len(details) == MOST + 2
    assert details[-2].startswith(f"more than {MOST}") and details[-1] == "429"


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://web.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://web.test/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET http://web.test/ HTTP/1.1\r\nTransfer-Encoding: x\r\nHost: web.test\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http://web.test/" + b"x" * 70_000,
    ],
)
def test_a_head_that_readers_take_differently_goes_nowhere(
    rig: rigs.Rig, control: client.Client, outside: web.Web, head: bytes
) -> None:
    opened(rig, control)

    with socket.create_connection(("127.0.0.1", rig.ports[-1])) as connection:
        connection.settimeout(20)
        connection.sendall(head)
        try:
            answer = connection.recv(1_000)
        except ConnectionResetError:
            answer = b""

    assert answer == b"" or b" 400 " in answer
    assert outside.seen == []


def test_what_stands_behind_a_requests_end_is_no_request_of_ours(
    rig: rigs.Rig, control: client.Client, outside: web.Web
) -> None:
    opened(rig, control)
    twice = b"GET http://web.test/1 HTTP/1.1\r\nHost: web.test\r\n\r\n" * 2

    with socket.create_connection(("127.0.0.1", rig.ports[-1])) as connection:
        connection.settimeout(20)
        connection.sendall(twice)
        said = b""
        while data := connection.recv(1_000):
            said += data

    assert said.count(b"HTTP/1.1 200") == 1 and b"connection: close" in said.lower()
    assert outside.seen == ["GET /1 web.test"]


def test_the_host_of_the_url_counts_not_the_header(
    rig: rigs.Rig, control: client.Client, outside: web.Web
) -> None:
    opened(rig, control)
    body = (
        b"POST http://web.test/p HTTP/1.1\r\nHost: evil.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    )

    with socket.create_connection(("127.0.0.1", rig.ports[-1])) as connection:
        connection.settimeout(20)
        connection.sendall(body + b"0\r\n\r\n")
        connection.recv(1_000)

    assert outside.seen == ["POST /p web.test"]
