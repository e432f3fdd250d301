"""The operator's browser, by Chrome's own protocol (CDP): its address and its token stay here.

A sandbox sees `http://127.0.0.1:8119/cdp`: `/cdp/json/version` names one WebSocket, `/cdp` itself,
and what is said there is passed on to the one browser that `BROWSERLESS_URL` names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import h11

from knify import kinds
from knify.agents import models
from knify.gateway import line as lines
from knify.gateway import sides, tunnel
from knify.gateway.door import Door
from knify.gateway.remote import Remote

log = logging.getLogger(__name__)

MOST: Final = 16  # WebSockets of one sandbox
_OPEN_SECONDS: Final = 30.0  # some start a browser first
_VERSION_BYTES: Final = 64 * 1024
_VERSION: Final = re.compile(rf"{models.CDP}/json/version/?")
_SOCKET: Final = re.compile(rf"{models.CDP}/?")
#: Of a handshake, both ways; all else that a sandbox sends is its own business.
_PASSED: Final = tuple(
    f"sec-websocket-{name}".encode() for name in ("key", "version", "extensions", "protocol")
)
#: Of what a browser says of itself, what is passed on.
_TOLD: Final = ("Browser", "Protocol-Version", "User-Agent", "V8-Version", "WebKit-Version")
#: Of one Chromium, for as long as it runs: two who are given the same one share it.
_SHARED: Final = re.compile(r"/devtools/browser/[^/]+")
_BACK: Final = (b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol")
_UPGRADE: Final = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection to it, and the head of its answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    head: h11.Response | h11.InformationalResponse


class Failed(Exception):
    """It cannot be reached; words that may be told."""


def is_asked(target: bytes) -> bool:
    """Whether a request in origin form is for this."""
    return target == models.CDP.encode() or target.startswith(f"{models.CDP}/".encode())


class Browser:
    """One for all sandboxes."""

    def __init__(
        self, place: Remote | None, tls: ssl.SSLContext, tenants: tuple[str, ...] = ()
    ) -> None:
        """`place`: None when there is none; `tenants` whose jobs may use it, () for all."""
        self._place, self._tls, self._tenants = place, tls, tenants
        self._taken: Counter[str] = Counter()  # WebSockets by execution
        self._socket = ""  # that it named last
        self._is_shared = False  # and the operator was told so
        self._is_known = place is None or place.is_socket  # it has said what it is
        if place is not None and place.is_socket:
            self._notice(place.path)
            self._notice(place.path)

    def is_for(self, tenant: str) -> bool:
        """Whether there is one that this tenant's jobs may use."""
        return self._place is not None and (not self._tenants or tenant in self._tenants)

    @property
    def kind(self) -> str:
        """none, shared (one Chromium for all), own (one for each connection), or silent so far."""
        if self._place is None:
            return "none"
        return "shared" if self._is_shared else "own" if self._is_known else "silent"

    async def look(self) -> None:
        """At what kind of browser it is, before anybody uses it."""
        if self._place is None or self._place.is_socket:
            return
        try:
            for _ in range(2):
                self._notice(_socket_path(await self._version(self._place)))
            self._is_known = True
        except Failed as why:
            log.warning("the browser (%s) cannot be reached: %s", kinds.BROWSER_URL, why)

    def _notice(self, path: str) -> None:
        """Warns of a browser that all jobs share, once."""
        if path == self._socket and _SHARED.search(path) and not self._is_shared:
            self._is_shared = True
            log.warning(
                "%s is one Chromium for all: jobs see each other's pages and logins there; "
                "take a service that starts one for each connection, or KNIFY_BROWSER_TENANTS",
                kinds.BROWSER_URL,
            )
        self._socket = path

    async def serve(self, door: Door, line: lines.Line, request: h11.Request) -> None:
        """Whatever is asked below `/cdp`."""
        target = request.target.decode("ascii", "replace")
        async for _ in line.body():
            raise lines.Gone  # no client says anything there
        is_there = self.is_for(door.place.tenant) and kinds.BROWSER in door.policy.services
        if self._place is None or not is_there:
            await line.answer(404, "knify: there is nothing here\n")
            return
        try:
            if _VERSION.fullmatch(target) and request.method == b"GET":
                await self._tell_version(line, self._place)
            elif _SOCKET.fullmatch(target) and _is_upgrade(request):
                await self._join(door, line, request, self._place)
            else:
                await line.answer(404, "knify: this is not passed on to the browser\n")
        except Failed as why:
            door.told.once("browser_error", f"the browser cannot be reached: {why}")
            await line.answer(502, f"knify: the browser cannot be reached: {why}\n")

    async def _tell_version(self, line: lines.Line, place: Remote) -> None:
        """What the browser says of itself, but for where it is."""
        line.until(_OPEN_SECONDS + 5)
        found = {} if place.is_socket else await self._version(place)
        told: dict[str, str] = {name: found[name] for name in _TOLD if name in found}
        told["webSocketDebuggerUrl"] = f"ws://127.0.0.1:{models.PORT}{models.CDP}"
        await line.answer(200, json.dumps(told), [("content-type", "application/json")])

    async def _join(
        self, door: Door, line: lines.Line, request: h11.Request, place: Remote
    ) -> None:
        execution = door.place.execution
        if self._taken[execution] >= MOST:
            await line.answer(429, f"knify: more than {MOST} connections to the browser\n")
            return
        self._taken[execution] += 1
        try:
            await self._joined(line, request, place)
        finally:
            self._taken[execution] -= 1
            self._taken += Counter()  # forgets who has none

    async def _joined(self, line: lines.Line, request: h11.Request, place: Remote) -> None:
        line.until(_OPEN_SECONDS + 5)
        named = {name: value for name, value in request.headers if name in _PASSED}
        path = place.path
        async with _in_time():
            if not place.is_socket:
                path = _socket_path(await self._version(place))
                self._notice(path)
            opened = await self._ask(place, path, [*_UPGRADE, *named.items()])
        async with sides.joined(line, opened.writer):
            if opened.head.status_code != 101:
                raise Failed(f"it answered {opened.head.status_code}")
            back = [row for row in opened.head.headers if row[0] in _BACK]
            early = await line.switch([*_UPGRADE, *back])
            await tunnel.run(line, early, opened.reader, opened.writer)

    async def _version(self, place: Remote) -> dict[str, str]:
        """What it says of itself. Failed."""
        ask = [(b"accept", b"application/json"), (b"connection", b"close")]
        async with _in_time():
            opened = await self._ask(place, f"{place.path}/json/version", ask)
            try:
                if opened.head.status_code != 200:
                    raise Failed(f"it answered {opened.head.status_code}")
                found = json.loads(await _body(opened))
            except (ValueError, RecursionError) as failed:
                raise Failed("it answered no JSON") from failed
            finally:
                opened.writer.transport.abort()
        if not isinstance(found, dict):
            raise Failed("it answered no JSON object")
        return {name: value for name, value in found.items() if isinstance(value, str)}

    async def _ask(self, place: Remote, path: str, headers: lines.Headers) -> _Opened:
        """A GET; of the answer no more than its head is read."""
        fields = [(b"host", place.named.encode()), *headers]
        if place.login is not None:
            fields.append((b"authorization", place.login.encode()))
        reader, writer = await asyncio.open_connection(
            place.host, place.port, ssl=self._tls if place.is_tls else None
        )
        try:
            http = h11.Connection(h11.CLIENT)
            request = h11.Request(method="GET", target=place.target(path), headers=fields)
            writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
            await writer.drain()
            http.receive_data(await reader.readuntil(b"\r\n\r\n"))
            head = http.next_event()
            if not isinstance(head, h11.Response | h11.InformationalResponse):
                raise Failed("it speaks no HTTP")
        except BaseException:
            writer.transport.abort()
            raise
        return _Opened(reader, writer, http, head)


@contextlib.asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Ends in time; whatever fails is told in words that name no address."""
    try:
        async with asyncio.timeout(_OPEN_SECONDS):
            yield
    except TimeoutError as late:
        raise Failed("no answer in time") from late
    except ssl.SSLError as failed:
        raise Failed("TLS failed") from failed
    except UnicodeError as failed:
        raise Failed("no address") from failed
    except OSError as failed:
        number = failed.errno or 0  # of a name that is none: a negative one
        raise Failed(os.strerror(number) if number > 0 else "no address") from failed
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as failed:
        raise Failed("it broke off") from failed
    except h11.ProtocolError as failed:
        raise Failed("it speaks no HTTP") from failed


async def _body(opened: _Opened) -> bytes:
    content = b""
    while not isinstance(event := opened.http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            opened.http.receive_data(await opened.reader.read(_VERSION_BYTES))
        elif isinstance(event, h11.Data) and len(content) < _VERSION_BYTES:
            content += event.data
        else:
            raise Failed("it says too much")
    return content


def _socket_path(found: Mapping[str, str]) -> str:
    """Where the browser says that its WebSocket is; its host is the one that it was asked at."""
    try:
        parts = urlsplit(found.get("webSocketDebuggerUrl", ""))
    except ValueError as failed:
        raise Failed("it names no WebSocket") from failed
    if parts.scheme not in ("ws", "wss") or not parts.path.isascii():
        raise Failed("it names no WebSocket")
    return parts.path.rstrip("/")


def _is_upgrade(request: h11.Request) -> bool:
    named = {name: value.lower() for name, value in request.headers}
    return request.method == b"GET" and named.get(b"upgrade") == b"websocket"
