"""The operator's browser: its protocol passes, its address and its token do not."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from knify import errors
from knify.gateway import browser, door, remote
from knify.gateway import line as lines
from tests.gateway import cdp
from tests.gateway import porch as porches
from tests.gateway import rig as rigs
from tests.parts.stack import eventually

SERVICES = ("browser",)
UPGRADE = (
    "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: a-key\r\nSec-WebSocket-Version: 13\r\nOrigin: http://evil.test\r\n"
    "Cookie: a=b\r\n\r\n"
)
Open = Callable[..., str]


@pytest.fixture
def upstream() -> Iterator[cdp.Cdp]:
    with cdp.running() as server:
        yield server


@pytest.fixture
def porch(monkeypatch: pytest.MonkeyPatch) -> Iterator[porches.Porch]:
    with porches.running(monkeypatch) as found:
        yield found


@pytest.fixture
def start(porch: porches.Porch) -> Open:
    """A door's URL, where this is the operator's browser."""

    def run(url: str, tenants: tuple[str, ...] = (), **policy: Any) -> str:
        where = remote.load({"BROWSERLESS_URL": url})
        made = porch.make(lambda: browser.Browser(where, ssl.create_default_context(), tenants))

        async def serve(door_: door.Door, line: lines.Line) -> None:
            request = await line.request()
            if browser.is_asked(request.target):
                await made.serve(door_, line, request)
            else:
                await line.answer(404, "elsewhere")

        return f"http://127.0.0.1:{porch.open(serve, **(policy or {'services': SERVICES}))}"

    return run


@contextmanager
def joined(url: str, path: str = "/cdp") -> Iterator[tuple[str, socket.socket]]:
    """The head of the answer to an upgrade, and the connection."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 20) as line:
        line.sendall(UPGRADE.format(path).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := line.recv(1)):
            head += byte
        yield head.decode(), line


def received(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := line.recv(size - len(data))):
        data += more
    return data


def test_a_sandbox_finds_one_socket_behind_which_the_browser_is(
    start: Open, upstream: cdp.Cdp
) -> None:
    url = start(f"http://127.0.0.1:{upstream.port}/chrome?token={cdp.TOKEN}")

    told = httpx.get(f"{url}/cdp/json/version/").json()

    assert told == {"Browser": "Chrome/1", "webSocketDebuggerUrl": "ws://127.0.0.1:8119/cdp"}
    assert upstream.asked[0].startswith(f"GET /chrome/json/version?token={cdp.TOKEN} HTTP/1.1")


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("http://127.0.0.1:{}?token={}", "/devtools/browser/b-1?token={}"),
        ("ws://127.0.0.1:{}/playwright/chromium?token={}", "/playwright/chromium?token={}"),
        ("ws://127.0.0.1:{}?token={}", "/?token={}"),
    ],
)
def test_what_is_said_on_it_passes_both_ways_with_the_token_put_in(
    start: Open, upstream: cdp.Cdp, address: str, asked: str
) -> None:
    url = start(address.format(upstream.port, cdp.TOKEN))
    sent = bytes(range(256)) * 4_000

    with joined(url) as (head, line):
        line.sendall(sent[:100])
        line.sendall(sent[100:])
        got = received(line, 6 + len(sent))

    assert got == b"hello " + sent
    assert head.startswith("HTTP/1.1 101") and "sec-websocket-accept: yes" in head.lower()
    assert "secret" not in head
    request = upstream.asked[-1].lower()
    assert request.startswith(f"get {asked.format(cdp.TOKEN)} ".lower())
    assert "sec-websocket-key: a-key" in request
    assert "evil" not in request and "cookie" not in request


def test_a_login_in_its_address_is_sent_as_one(start: Open, upstream: cdp.Cdp) -> None:
    url = start(f"ws://me:pass%20word@127.0.0.1:{upstream.port}/")

    with joined(url):
        pass

    assert "authorization: basic bwu6cgfzcyb3b3jk" in upstream.asked[-1].lower()


@pytest.mark.parametrize(
    "path", ["/cdp/json/list", "/cdp/devtools/page/1", "/cdp?token=mine", "/cdpx", "/json/version"]
)
def test_nothing_else_of_it_can_be_asked(start: Open, upstream: cdp.Cdp, path: str) -> None:
    url = start(f"http://127.0.0.1:{upstream.port}")

    with joined(url, path) as (head, _):
        assert head.startswith("HTTP/1.1 404")

    assert upstream.asked == []


def test_a_job_of_another_type_has_no_browser(start: Open, upstream: cdp.Cdp) -> None:
    url = start(f"http://127.0.0.1:{upstream.port}", network_mode="full")

    assert httpx.get(f"{url}/cdp/json/version").status_code == 404
    with joined(url) as (head, _):
        assert head.startswith("HTTP/1.1 404")
    assert upstream.asked == []


def test_a_tenant_for_whom_it_is_not_has_no_browser(start: Open, upstream: cdp.Cdp) -> None:
    there = start(f"http://127.0.0.1:{upstream.port}", ("another", "default"))
    nothing = start(f"http://127.0.0.1:{upstream.port}", ("another",))

    assert httpx.get(f"{there}/cdp/json/version").status_code == 200
    asked = len(upstream.asked)
    assert httpx.get(f"{nothing}/cdp/json/version").status_code == 404
    with joined(nothing) as (head, _):
        assert head.startswith("HTTP/1.1 404")
    assert len(upstream.asked) == asked


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "ws://127.0.0.1:{}/devtools/browser/b"])
def test_the_operator_is_warned_of_a_browser_that_all_jobs_share(
    start: Open, upstream: cdp.Cdp, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = start(address.format(upstream.port))
    for _ in range(3):
        with joined(url) as (head, _):
            assert head.startswith("HTTP/1.1 101")

    assert caplog.text.count("BROWSERLESS_URL is one Chromium for all") == 1


def test_a_browser_for_each_connection_is_as_it_should_be(
    start: Open, upstream: cdp.Cdp, caplog: pytest.LogCaptureFixture
) -> None:
    url = start(f"http://127.0.0.1:{upstream.port}")
    for one in range(2):
        named = f"ws://h/devtools/browser/{one}"
        upstream.version = json.dumps({"webSocketDebuggerUrl": named}).encode()
        with joined(url) as (head, _):
            assert head.startswith("HTTP/1.1 101")

    assert "one Chromium" not in caplog.text


def test_only_what_is_known_of_a_browser_is_told(start: Open, upstream: cdp.Cdp) -> None:
    names = ["Browser", "Protocol-Version", "User-Agent", "V8-Version", "WebKit-Version"]
    told = dict.fromkeys([*names, "devtoolsFrontend", "host"], "10.0.0.5")
    upstream.version = json.dumps(told).encode()
    url = start(f"http://127.0.0.1:{upstream.port}")

    assert [*httpx.get(f"{url}/cdp/json/version").json()] == [*names, "webSocketDebuggerUrl"]


def test_a_browser_that_refuses_is_told_without_its_address(
    start: Open, porch: porches.Porch, upstream: cdp.Cdp
) -> None:
    upstream.refuses = b"HTTP/1.1 429 Too Many"
    url = start(f"ws://127.0.0.1:{upstream.port}/x?token={cdp.TOKEN}")

    with joined(url) as (head, line):
        rest = line.recv(1_000).decode()

    assert head.startswith("HTTP/1.1 502")
    assert porch.events() == [("browser_error", "the browser cannot be reached: it answered 429")]
    assert not {cdp.TOKEN, str(upstream.port)} & set(rest.split())


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (b"<html>", "it answered no JSON"),
        (b"[1]", "it answered no JSON object"),
        (b'{"webSocketDebuggerUrl": "http://x/"}', "it names no WebSocket"),
        (b'{"webSocketDebuggerUrl": "ws://[/"}', "it names no WebSocket"),
        (b" " * 200_000, "it says too much"),
    ],
)
def test_a_browser_that_talks_nonsense_is_told(
    start: Open, porch: porches.Porch, upstream: cdp.Cdp, version: bytes, why: str
) -> None:
    upstream.version = version
    url = start(f"http://127.0.0.1:{upstream.port}")

    with joined(url) as (head, _):
        assert head.startswith("HTTP/1.1 502")

    assert porch.events()[0][1].endswith(why)


def test_a_browser_that_is_not_there_is_told(start: Open, porch: porches.Porch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        url = start(f"http://127.0.0.1:{port}")

        answer = httpx.get(f"{url}/cdp/json/version")

    assert (answer.status_code, str(port) in answer.text) == (502, False)
    assert porch.events() == [
        ("browser_error", "the browser cannot be reached: Connection refused")
    ]


def test_one_sandbox_has_so_many_connections_and_gets_them_back(
    start: Open, porch: porches.Porch, upstream: cdp.Cdp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "MOST", 1)
    url = start(f"ws://127.0.0.1:{upstream.port}")

    with joined(url) as (first, _), joined(url) as (second, _):
        assert (first[9:12], second[9:12]) == ("101", "429")
    eventually(lambda: not porch.doors[-1].connections)
    with joined(url) as (third, _):
        assert third[9:12] == "101"


@pytest.mark.parametrize(
    "url", ["ftp://h/x?token=s3cret", "h:1?token=s3cret", "http://?s3cret", "ws://h:0/s3cret",
            "ws://h:99999/s3cret", "ws://h/\u00e4s3cret", "ws://a..b/s3cret"],
)  # fmt: skip
def test_a_wrong_address_stops_the_start_and_is_not_shown(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="BROWSERLESS_URL is not") as wrong:
        remote.load({"BROWSERLESS_URL": url})

    assert "s3cret" not in str(wrong.value)


def test_the_gateway_has_it_for_browser_tests_only(
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    upstream: cdp.Cdp,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = f"http://127.0.0.1:{upstream.port}?token={cdp.TOKEN}"
    with rigs.running(redis_url, tmp_path, monkeypatch, BROWSERLESS_URL=url) as rig:
        found = [rig.opened(services=names) for names in (SERVICES, ("databases",), ())]
        _, near = rig.open(services=SERVICES)
        told = httpx.get(f"{near}/cdp/json/version").json()
        eventually(lambda: "one Chromium for all" in caplog.text)
        ports = rig.ports
    more = {"BROWSERLESS_URL": url, "KNIFY_BROWSER_TENANTS": "another, one"}
    with rigs.running(redis_url, tmp_path / "2", monkeypatch, **more) as rig:
        assert rig.opened(services=SERVICES)["services"] == ()

    assert [one["services"] for one in found] == [SERVICES, (), ()]
    assert told["Browser"] == "Chrome/1"
    assert len(ports) == 2  # for whom there is nothing, nothing listens


def test_without_an_address_there_is_none() -> None:
    assert remote.load({}) is None
    assert "s3cret" not in repr(remote.load({"BROWSERLESS_URL": "ws://u:s3cret@h/s3cret?t=s3cret"}))
