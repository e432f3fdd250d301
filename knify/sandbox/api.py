"""A small client for Podman's REST API on a Unix socket: every call has a time limit.

Nothing is retried here. A connection serves one call, so that a call given up leaves nothing
behind. https://docs.podman.io/en/v4.3/_static/api.html
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import h11

from knify import errors

_PREFIX = "/v4.0.0/libpod"
_FULL = ("exceeded num_locks", "could not find enough available IDs")
_LARGEST = 64 * 1024**2  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Hijacked:
    """A connection that has become the container's streams."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    early: bytes  # came with the answer's head
    commands: asyncio.StreamWriter | None = None  # where to write instead of `writer`

    def close(self) -> None:
        """Hang up."""
        self.writer.close()
        if self.commands is not None:
            self.commands.close()


@dataclass(slots=True)
class _Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection

    async def event(self) -> Any:
        while True:
            event = self.state.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.state.receive_data(await self.reader.read(65_536))


class Api:
    """Podman's REST API."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        """`url` is `unix:///path`; `timeout` in seconds holds for calls that name none."""
        scheme, _, path = url.partition("://")
        if scheme != "unix" or not path.startswith("/"):
            raise errors.ConfigError(f"not a Unix socket: {url}")
        self._path = path
        self._timeout = timeout

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        timeout: float | None = None,
    ) -> Any:
        """One call's JSON; SandboxGone for 404, SandboxTimeout, else SandboxError."""
        limit = self._timeout if timeout is None else timeout
        async with _translated(method, path), asyncio.timeout(limit):
            wire = await self._send(method, path, query, body)
            try:
                status, raw = await _answer(wire)
            finally:
                wire.writer.close()
        if status >= 400:
            raise _failure(status, raw)
        return json.loads(raw) if raw[:1] in (b"{", b"[", b'"', b"n") else None

    async def hijack(self, path: str, query: dict[str, Any], timeout: float) -> Hijacked:
        """POST and take the connection over as raw streams."""
        async with _translated("POST", path), asyncio.timeout(timeout):
            wire = await self._send("POST", path, query, None, upgrade=True)
            try:
                event = await wire.event()
                if not isinstance(event, h11.InformationalResponse) or event.status_code != 101:
                    status, raw = await _answer(wire, event)
                    raise _failure(status, raw)
            except BaseException:
                wire.writer.close()
                raise
        return Hijacked(wire.reader, wire.writer, wire.state.trailing_data[0])

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        body: Any,
        upgrade: bool = False,
    ) -> _Wire:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=256 * 1024)
        wire = _Wire(reader, writer, h11.Connection(h11.CLIENT))
        content = b"" if body is None else json.dumps(body).encode()
        headers = [("Host", "podman"), ("Content-Length", str(len(content)))]
        if body is not None:
            headers.append(("Content-Type", "application/json"))
        headers += [("Connection", "Upgrade"), ("Upgrade", "tcp")] if upgrade else []
        target = _PREFIX + path + ("?" + urlencode(query) if query else "")
        request = h11.Request(method=method, target=target, headers=headers)
        writer.write(wire.state.send(request) or b"")
        writer.write((wire.state.send(h11.Data(data=content)) or b"") if content else b"")
        writer.write(wire.state.send(h11.EndOfMessage()) or b"")
        try:
            await writer.drain()
        except BaseException:
            writer.close()
            raise
        return wire


async def to_pipe(handle: int) -> asyncio.StreamWriter:
    """A writer to a pipe's descriptor, which it owns."""
    loop = asyncio.get_running_loop()
    file = os.fdopen(handle, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), file
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


async def _answer(wire: _Wire, event: Any = None) -> tuple[int, bytes]:
    status, content = 0, bytearray()
    event = event or await wire.event()
    while not isinstance(event, h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            content += event.data
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            raise errors.SandboxError("Podman ended the answer early")
        if len(content) > _LARGEST:
            raise errors.SandboxError("Podman's answer is too large")
        event = await wire.event()
    return status, bytes(content)


def _failure(status: int, raw: bytes) -> errors.SandboxError:
    try:
        text = str(json.loads(raw)["message"])
    except (ValueError, KeyError, TypeError):
        text = raw[:500].decode("utf-8", "replace")
    kind = errors.SandboxGone if status == 404 else errors.SandboxError
    if any(words in text for words in _FULL):
        kind = errors.NodeFull
    return kind(f"Podman: {text}", detail={"status": status})


@asynccontextmanager
async def _translated(method: str, path: str) -> AsyncIterator[None]:
    """Podman's and the socket's failures as our errors."""
    try:
        yield
    except TimeoutError as failed:
        raise errors.SandboxTimeout(f"Podman did not answer {method} {path} in time") from failed
    except (OSError, h11.ProtocolError) as failed:
        raise errors.SandboxError(f"Podman cannot be reached: {failed}") from failed
