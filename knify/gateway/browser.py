"""The operator's browser, by Chrome's own protocol (CDP): its address and its token stay here.

A sandbox sees `http://127.0.0.1:8119/cdp`: `/cdp/json/version` names one WebSocket, `/cdp` itself,
and what is said there is passed on to the one browser that `BROWSERLESS_URL` names.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

import h11

from knify import errors, kinds
from knify.agents import models
from knify.gateway import line as lines
from knify.gateway import tunnel
from knify.gateway.door import Door

MOST: Final = 16  # WebSockets of one sandbox
_OPEN_SECONDS: Final = 30.0  # some start a browser first
_VERSION_BYTES: Final = 64 * 1024
_VERSION: Final = re.compile(rf"{models.CDP}/json/version/?")
_SOCKET: Final = re.compile(rf"{models.CDP}/?")
#: Of a handshake, both ways; all else that a sandbox sends is its own business.
_PASSED: Final = tuple(
    f"sec-websocket-{name}".encode() for name in ("key", "version", "extensions", "protocol")
)
_BACK: Final = (b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol")
_UPGRADE: Final = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the browser is."""

    is_tls: bool
    is_socket: bool  # the address is a browser's WebSocket; else it has to be asked for one
    host: str
    port: int
    path: str  # without a slash at its end
    query: str = field(repr=False)  # "" or with its token
    login: str | None = field(repr=False)  # a value of `authorization`

    @property
    def named(self) -> str:
        """As the header `host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def target(self, path: str) -> str:
        """As it is requested there."""
        return f"{path or '/'}{f'?{self.query}' if self.query else ''}"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection to it, and the head of its answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection
    head: h11.Response | h11.InformationalResponse


class Failed(Exception):
    """It cannot be reached; words that may be told."""


def load(environ: Mapping[str, str]) -> Remote | None:
    """What `BROWSERLESS_URL` says; ConfigError, which never shows it."""
    text = environ.get(kinds.BROWSER_URL, "").strip()
    if not text:
        return None
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
        if parts.scheme not in ("ws", "wss", "http", "https") or not host or port == 0:
            raise ValueError
        text.encode("ascii")
    except ValueError:
        form = "ws, wss, http or https://HOST[:PORT][/PATH][?token=TOKEN]"
        raise errors.ConfigError(f"{kinds.BROWSER_URL} is not {form}") from None
    is_tls = parts.scheme in ("wss", "https")
    return Remote(
        is_tls=is_tls,
        is_socket=parts.scheme in ("ws", "wss"),
        host=host,
        port=port or (443 if is_tls else 80),
        path=parts.path.rstrip("/"),
        query=parts.query,
        login=_login(unquote(parts.username or ""), unquote(parts.password or "")),
    )


def is_asked(target: bytes) -> bool:
    """Whether a request in origin form is for this."""
    return target == models.CDP.encode() or target.startswith(f"{models.CDP}/".encode())


class Browser:
    """One for all sandboxes."""

    def __init__(self, place: Remote | None, tls: ssl.SSLContext) -> None:
        """`place`: None when there is none."""
        self._place, self._tls = place, tls
        self._taken: Counter[str] = Counter()  # WebSockets by execution

    async def serve(self, door: Door, line: lines.Line, request: h11.Request) -> None:
        """Whatever is asked below `/cdp`."""
        target = request.target.decode("ascii", "replace")
        async for _ in line.body():
            raise lines.Gone  # no client says anything there
        if self._place is None or kinds.BROWSER not in door.policy.services:
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
        told = {name: value for name, value in found.items() if not name.endswith("Url")}
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
            opened = await self._ask(place, path, [*_UPGRADE, *named.items()])
        line.bind(opened.writer)
        try:
            if opened.head.status_code != 101:
                raise Failed(f"it answered {opened.head.status_code}")
            back = [row for row in opened.head.headers if row[0] in _BACK]
            early = await line.switch([*_UPGRADE, *back])
            await tunnel.run(line, early, opened.reader, opened.writer)
        finally:
            opened.writer.transport.abort()

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
    parts = urlsplit(found.get("webSocketDebuggerUrl", ""))
    if parts.scheme not in ("ws", "wss") or not parts.path.isascii():
        raise Failed("it names no WebSocket")
    return parts.path.rstrip("/")


def _is_upgrade(request: h11.Request) -> bool:
    named = {name: value.lower() for name, value in request.headers}
    return request.method == b"GET" and named.get(b"upgrade") == b"websocket"


def _login(user: str, password: str) -> str | None:
    if not user and not password:
        return None
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
