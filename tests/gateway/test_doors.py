"""Doors: opened, changed, told of, closed, and found again by the next gateway."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from knify import errors
from knify.gateway import client, door, main, netns, places
from knify.gateway import line as lines
from knify.gateway.account import Booking
from knify.gateway.policy import Policy
from knify.gateway.told import MOST, Told
from knify.lifecycle import State
from knify.store import keys
from knify.store.notices import Notice, Notices
from knify.store.usage import Usage, Usages
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

    assert control.close(name, f"s-{name}")

    with pytest.raises(httpx.TransportError):
        through(rig, "http://web.test/")
    assert rig.core.store.doors.kept("n") == {}
    assert control.close(name, f"s-{name}")


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


def test_a_refusal_stands_in_the_history_before_the_sandbox_sees_it(
    rig: rigs.Rig, control: client.Client
) -> None:
    name = opened(rig, control)

    assert [through(rig, "http://other.test/") for _ in range(2)] == [403, 403]

    events = rig.core.store.streams.events(name)
    details = [event.detail for event in events if event.stage == "egress_refused"]
    assert details == ["GET other.test:80 was refused: allowed_hosts does not name it"]


def test_what_one_gateway_told_once_the_next_one_does_not_tell_again(rig: rigs.Rig) -> None:
    name, notices = rig.submit(), rig.core.store.notices

    async def life() -> None:
        told = Told(notices, name, lambda: None)
        told.once("egress_refused", "a.com was refused")
        told.add("model_error", "429")
        sent = list(told._waiting)
        assert await told.save()
        notices.tell(name, sent)  # an answer that was lost

    rig.call(life())
    rig.call(life())

    assert [detail for _, detail in rig.told(name)] == ["a.com was refused", "429", "429"]


def test_of_an_ended_job_nothing_is_told(rig: rigs.Rig) -> None:
    name, notices = rig.submit(), rig.core.store.notices
    notice = Notice("m", "budget_exceeded", "warning", "all used")
    assert notices.tell(name, [notice]) and notices.over(name) == "all used"
    rig.core.store.executions.cancel(name, "enough", {"t": 0, "e": []})

    assert not notices.tell(name, [Notice("n", "model_error", "warning", "late")])

    stages = [event.stage for event in rig.core.store.streams.events(name)]
    assert stages.count("budget_exceeded") == 1 and stages[-1] == "cancelled"
    assert notices.over(name) is None  # nothing of it is kept


def test_what_redis_could_not_take_is_counted_and_told_behind_the_doors_end(
    rig: rigs.Rig, control: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = rig.open(network_mode="outbound", allowed_hosts=("web.test",))[0]
    door = rig.gateway.doors.get(name)
    assert door is not None

    def away(*_: object) -> None:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as patch:
        for part, verb in ((Usages, "add"), (Notices, "tell")):
            patch.setattr(part, verb, away)
        assert through(rig, "http://other.test/") == 403
        Booking(door.account).set(Usage(calls=1, input=7, output=5))
        assert not control.close(name, f"s-{name}")

    eventually(lambda: rig.core.store.usages.of(name).tokens == 12)
    eventually(lambda: [stage for stage, _ in rig.told(name)] == ["egress_refused"])
    assert control.close(name, f"s-{name}")


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

    assert rig.call(rig.gateway.doors.reopen())

    assert list(rig.core.store.doors.kept("n")) == [lives]
    assert through(rig, "http://web.test/") == 200


def test_a_door_that_cannot_be_opened_again_just_now_keeps_no_other_waiting(
    rig: rigs.Rig, control: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [opened(rig, control) for _ in range(3)]
    rig.call(_forget(rig))
    listen, failures = netns.listen, [OSError(errno.EMFILE, "too many"), OSError(errno.EPERM, "no")]

    def failing(*arguments: int) -> socket.socket:
        if failures:
            raise failures.pop()
        return listen(*arguments)

    monkeypatch.setattr(netns, "listen", failing)

    assert not rig.call(rig.gateway.doors.reopen())
    assert sum(rig.gateway.doors.get(name) is not None for name in names) == 1
    assert set(rig.core.store.doors.kept("n")) == set(names)
    assert rig.call(rig.gateway.doors.reopen())
    assert all(rig.gateway.doors.get(name) is not None for name in names)


@pytest.mark.parametrize("how", ["closed", "completing"])
def test_a_door_whose_turn_is_over_is_not_opened_again(
    rig: rigs.Rig, control: client.Client, how: str
) -> None:
    name = opened(rig, control)
    rig.call(_forget(rig))
    if how == "closed":  # while the gateway that opened it was dead
        control.close(name, f"s-{name}")
    else:
        rig.core.store.client.hset(keys.execution(name), "state", State.COMPLETING)

    assert rig.call(rig.gateway.doors.reopen())

    assert rig.gateway.doors.get(name) is None
    assert rig.core.store.doors.kept("n") == {}


def test_a_worker_that_comes_too_late_opens_nothing(rig: rigs.Rig, control: client.Client) -> None:
    name = rig.submit()
    rig.core.store.client.hset(keys.execution(name), "state", State.COMPLETING)

    with pytest.raises(errors.SandboxGone):
        control.open(execution=name, sandbox="s", tenant="t", pid=os.getpid(), policy=OUT)


def test_who_has_no_descriptor_left_takes_no_sandbox_for_gone(
    rig: rigs.Rig, control: client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", full)
        with pytest.raises(errors.GatewayAway, match="cannot listen"):
            control.open(
                execution=rig.submit(), sandbox="s", tenant="t", pid=os.getpid(), policy=OUT,
                seconds=0,
            )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", full)
        with pytest.raises(OSError, match="too many"):
            netns.started(os.getpid())


def test_one_home_has_one_gateway(tmp_path: Path) -> None:
    with (
        main.alone(tmp_path),
        pytest.raises(errors.ConfigError, match="another gateway"),
        main.alone(tmp_path, 0.2),
    ):
        pass
    with main.alone(tmp_path, 0):  # a dead one's lock is free
        pass


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
    monkeypatch.setattr(places, "SHARE", 40)
    name = opened(rig, control)
    address = ("127.0.0.1", rig.ports[-1])
    with contextlib.ExitStack() as silent:
        for _ in range(places.SHARE + 10):
            silent.enter_context(socket.create_connection(address, timeout=20))
        flooded = rig.gateway.doors.get(name)
        assert flooded is not None
        eventually(lambda: [stage for stage, _ in rig.told(name)] == ["egress_refused"])
        assert flooded.connections == places.SHARE

        opened(rig, control)
        assert through(rig, "http://web.test/") == 200
        rig.call(_overdue(flooded))

        eventually(lambda: flooded.connections == 0)


def test_nobody_takes_the_places_of_all() -> None:
    crowd = places.Places(100)
    greedy, second, late = 0, 0, 0

    while crowd.take(greedy):
        greedy += 1
    while crowd.take(second):
        second += 1
    while crowd.take(late):
        late += 1

    assert (greedy, second, late) == (50, 25, 12)
    while crowd.taken:
        crowd.give_back()
    assert crowd.take(0)
    assert places.LEAST <= places.measured().most <= places.MOST


def test_connections_that_nobody_reads_hold_what_was_counted_for_them(
    rig: rigs.Rig, control: client.Client
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        mapped = {"deaf.test": ("127.0.0.1", deaf.getsockname()[1])}
        rig.gateway._dialer._mapped = mapped
        name = opened(rig, control, Policy("outbound", ("deaf.test",)))
        with contextlib.ExitStack() as stuck:
            for _ in range(2):
                address = ("127.0.0.1", rig.ports[-1])
                here = stuck.enter_context(socket.create_connection(address, timeout=20))
                here.sendall(b"CONNECT deaf.test:443 HTTP/1.1\r\nHost: deaf.test:443\r\n\r\n")
                assert b" 200 " in here.recv(1_000)
                there = stuck.enter_context(deaf.accept()[0])
                for end in (here, there):
                    _stuff(end)
            door = rig.gateway.doors.get(name)
            assert door is not None and door.connections == 2

            held = rig.call(_held(door))

    assert all(size <= places.BYTES for size in held), held


def _stuff(end: socket.socket) -> None:
    """Send until nothing is taken any more."""
    end.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        while True:
            end.sendall(b"x" * 65_536)


async def _held(door: door.Door) -> list[int]:
    """Bytes that each of its connections has in buffers of this process."""
    return [
        sum(writer.transport.get_write_buffer_size() for writer in (line.writer, *line._others))
        + len(line.reader._buffer)  # type: ignore[attr-defined]
        + sum(len(writer._reader._buffer) for writer in line._others if hasattr(writer, "_reader"))
        for line in door._lines
    ]


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


def test_of_very_many_events_only_some_are_told(rig: rigs.Rig) -> None:
    name = rig.submit()
    told = Told(rig.core.store.notices, name, lambda: None)

    for n in range(10 * MOST):
        told.once("egress_refused", f"{n}.com was refused")
        told.once("egress_refused", "0.com was refused")
    told.add("model_error", "429")
    rig.call(told.save())

    details = [detail for _, detail in rig.told(name)]
    assert len(details) == MOST + 2
    assert details[-2].startswith(f"more than {MOST}") and details[-1] == "429"


def test_half_a_pair_of_utf_16_is_told_as_a_question_mark(rig: rigs.Rig) -> None:
    name = rig.submit()
    told = Told(rig.core.store.notices, name, lambda: None)

    told.once("tool_refused", "\ud800 was refused")
    told.once("budget_exceeded", "x", mark="\udfff")
    told.add("model_error", "\ud800")
    rig.call(told.save())

    assert [detail for _, detail in rig.told(name)] == ["? was refused", "x", "?"]


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
