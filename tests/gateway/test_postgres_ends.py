"""The end of sessions at the operator's databases: in time, at the server too, for all tenants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knify.gateway.postgres import declared, ending, port, sessions, wire
from knify.gateway.postgres.flow import Flow
from tests.gateway import pgserver
from tests.gateway import porch as porches
from tests.parts.stack import eventually

Open = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A door's port, where the database `crm` is at this URL."""
    with porches.running(monkeypatch) as porch:

        def run(url: str, more: str = "") -> int:
            file = tmp_path / "databases.yaml"
            file.write_text(f"crm: {{url: '{url}'{more}}}\n")
            tls = ssl.create_default_context()
            made = porch.make(lambda: port.Port(declared.load(file), tls))
            return porch.open(made.serve, services=("databases",))

        yield run


def _ask_for_long(client: pgserver.Client, server: pgserver.Server) -> None:
    """What the server works on until it is no more `stuck`."""
    client.start("crm")
    server.stuck.set()
    client.say(wire.pack(b"Q", b"SELECT pg_sleep(600)\0"))


@pytest.mark.parametrize("is_polite", [True, False])
def test_who_leaves_takes_the_session_along(start: Open, is_polite: bool) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url())

        with pgserver.Client(at) as client:
            client.start("crm")
            if is_polite:
                client.say(wire.pack(b"X"))
                assert client.answers() == []
        assert server.left.acquire(timeout=20)

    assert server.asked[1:] == [(b"X", b"")]


def test_what_a_client_asked_before_it_left_is_cancelled_and_its_place_kept_until_then(
    start: Open,
) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url(), ", connections: 1")
        with pgserver.Client(at) as client:
            _ask_for_long(client, server)
            eventually(lambda: len(server.asked) == 2)
        with pgserver.Client(at) as next_one:
            assert next_one.start("crm")[-1] == (b"Z", b"T")
            assert pgserver.KEY in server.cancelled
            assert (b"X", b"") in server.asked


def test_a_session_that_does_not_end_gives_its_place_back_in_time(
    start: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ending, "SECONDS", 0.1)
    monkeypatch.setattr(wire, "pack_cancel", lambda _: b"")
    with pgserver.running("trust") as server:
        at = start(server.url(), ", connections: 1")
        with pgserver.Client(at) as client:
            _ask_for_long(client, server)
        eventually(lambda: "crm: its server does not end a session" in caplog.text)
        server.stuck.clear()
        with pgserver.Client(at) as next_one:
            assert next_one.start("crm")[-1] == (b"Z", b"T")


@pytest.mark.parametrize(
    ("limit", "is_asked", "why"),
    [
        ("_STATEMENT_SECONDS", True, "crm: a statement may take 120 s"),
        ("_SESSION_SECONDS", False, "crm: a session may take 0 s"),
        ("_IDLE_SECONDS", False, "crm: nothing was asked for 0 s"),
    ],
)
def test_time_is_the_gateways_to_watch(
    start: Open, monkeypatch: pytest.MonkeyPatch, limit: str, is_asked: bool, why: str
) -> None:
    monkeypatch.setattr(port, limit, 0.0)
    with pgserver.running("trust") as server:
        at = start(server.url())
        with pgserver.Client(at) as client:
            client.start("crm")
            if is_asked:
                server.stuck.set()
                client.say(wire.pack(b"Q", b"SELECT pg_sleep(600)\0"))
            kind, body = client.answers()[-1]
            assert (kind, f"Mknify: {why}".encode() in body.split(b"\0")) == (b"E", True)
        assert server.left.acquire(timeout=20)

    assert not is_asked or pgserver.KEY in server.cancelled


def test_a_flow_knows_whose_turn_it_is() -> None:
    flow, ready = Flow(), wire.pack(b"Z", b"T")

    def after(data: bytes) -> tuple[bool, bool]:
        for at in range(len(data)):
            flow.answered(data[at : at + 1])
        return flow.is_asked, flow.is_amid

    assert after(b"") == (False, False)
    for kind in (b"P", b"B", b"E", b"S", b"Q"):
        flow.asked(kind)
    assert after(wire.pack(b"D", b"Z" * 9)) == (True, False)
    assert after(ready) == (True, False)  # the query's is to come
    flow.asked(b"E")
    assert after(ready) == (True, False)  # it was sent more behind that
    flow.asked(b"S")
    assert after(ready[:-1]) == (False, True)  # its head says it
    assert after(ready[-1:]) == (False, False)
    flow.answered(ready + ready + wire.pack(b"N") + b"D")
    assert (flow.is_asked, flow.is_amid) == (False, True)


def test_a_tenant_leaves_sessions_to_the_others() -> None:
    async def taken(tenants: list[str] | None, most: int) -> list[int]:
        """What each of three gets, who come one after the other."""
        body = {"url": "postgresql://u:p@h/d", "connections": most, "tenants": tenants}
        found = sessions.Sessions(declared._database("crm", body))
        counts = []
        for tenant in ("a", "b", "c"):
            counts.append(0)
            while found._has(tenant):
                await found.take(tenant)
                counts[-1] += 1
        late = asyncio.create_task(found.take("c"))
        await asyncio.sleep(0)
        for _ in range(counts[0]):
            found.give_back("a")
        await asyncio.wait_for(late, 20)
        return counts

    assert asyncio.run(taken(None, 10)) == [5, 3, 1]
    assert asyncio.run(taken(None, 1)) == [1, 0, 0]
    assert asyncio.run(taken(["a"], 10)) == [10, 0, 0]
