"""The way out of a sandbox: `CONNECT host:port`, and plain HTTP in absolute form."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Final

import h11

from knify import egress, errors
from knify.gateway import dial, sides, tunnel
from knify.gateway import line as lines
from knify.gateway.caller import Caller
from knify.gateway.turns import EVENTS

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 900.0  # without a byte of an answer


class Proxy:
    """One for all sandboxes."""

    def __init__(self, dialer: dial.Dialer) -> None:
        self._dialer = dialer

    async def connect(self, caller: Caller, line: lines.Line, request: h11.Request) -> None:
        """`CONNECT`: a tunnel."""
        authority = request.target.decode("ascii", "replace")
        opened = await self._open(caller, line, "CONNECT", f"https://{authority}", authority)
        if opened is None:
            return
        (reader, writer), _ = opened
        async with sides.joined(line, writer):
            await tunnel.run(line, await line.switch(), reader, writer)

    async def forward(self, caller: Caller, line: lines.Line, request: h11.Request) -> None:
        """A request in absolute form, on a connection of its own."""
        url = request.target.decode("ascii", "replace")
        method = request.method.decode("ascii", "replace")
        opened = await self._open(caller, line, method, url, url)
        if opened is None:
            return
        (reader, writer), target = opened
        sending = _ask(line, request, target, writer)
        async with sides.joined(line, writer), sides.beside(sending):
            await _relay(line, reader, request)

    async def _open(
        self, caller: Caller, line: lines.Line, method: str, url: str, shown: str
    ) -> tuple[dial.Connection, egress.Target] | None:
        """None when it was refused or failed, and the sandbox has been told."""
        line.until(egress.RESOLVE_SECONDS + 4 * dial.CONNECT_SECONDS)
        try:
            target = egress.parse(url)
            if method != "CONNECT" and target.scheme != "http":
                raise errors.EgressRefused("https needs CONNECT")
            shown = f"{target.host}:{target.port}"
            return await self._dialer.open(target, caller.policy, caller.names), target
        except errors.EgressRefused as refused:
            shown = shown[:200]
            detail = f"{method} {shown} was refused: {refused.message}"
            caller.told.once("egress_refused", detail)
            await caller.told.save()
            await line.answer(403, f"knify: {detail}\n", [("x-knify-refused", "egress")])
        except (errors.NameUnknown, OSError) as failed:
            words = failed.message if isinstance(failed, errors.KnifyError) else _words(failed)
            await line.answer(502, f"knify: {shown[:200]} cannot be reached: {words}\n")
        return None


async def _ask(
    line: lines.Line, request: h11.Request, target: egress.Target, writer: asyncio.StreamWriter
) -> None:
    """Pass the request on, its body as it comes. Whatever fails shows in the answer."""
    http = h11.Connection(h11.CLIENT)
    chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
    ours = {b"host", b"expect"} | ({b"content-length"} if chunked else set())
    headers = lines.passed_on(request.headers, frozenset(ours))
    default = 443 if target.scheme == "https" else 80
    name = f"[{target.host}]" if ":" in target.host else target.host
    host = name if target.port == default else f"{name}:{target.port}"
    path = "/" + target.url.split("/", 3)[3]
    fields = [(b"host", host.encode()), *headers, (b"connection", b"close")]
    fields += [(b"transfer-encoding", b"chunked")] if chunked else []
    try:
        ask = h11.Request(method=request.method, target=path, headers=fields)
        writer.write(http.send(ask) or b"")
        async for data in line.body():
            writer.write(http.send(h11.Data(data=data)) or b"")
            await writer.drain()
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()
    except (lines.Gone, OSError, h11.ProtocolError):
        writer.transport.abort()


async def _relay(line: lines.Line, reader: asyncio.StreamReader, request: h11.Request) -> None:
    """The answer, parsed and made anew, so that nothing behind its end comes along."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=lines.HEAD_BYTES)
    http.send(h11.Request(method=request.method, target="/", headers=[(b"host", b"x")]))
    http.send(h11.EndOfMessage())
    try:
        for n in itertools.count(1):
            event = http.next_event()
            if event is h11.NEED_DATA:
                line.until(ANSWER_SECONDS)
                data = await reader.read(lines.READ_BYTES)
                await line.turns.next()  # the other side may be of the sandbox's friends
                http.receive_data(data)
            elif n % EVENTS == 0:
                await line.turns.next()
            if event is h11.NEED_DATA:
                continue
            if isinstance(event, h11.Response):
                kept = lines.passed_on(event.headers, frozenset())
                headers = [*kept, (b"connection", b"close")]
                await line.send(h11.Response(status_code=event.status_code, headers=headers))
            elif isinstance(event, h11.Data):
                await line.send(h11.Data(data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                await line.send(h11.EndOfMessage())
                return
            elif not isinstance(event, h11.InformationalResponse):
                raise OSError("the connection was closed")
    except (OSError, h11.RemoteProtocolError) as failed:
        if not line.can_answer:
            raise lines.Gone from failed
        await line.answer(502, f"knify: no valid answer: {_words(failed)}\n")


def _words(failed: Exception) -> str:
    if isinstance(failed, TimeoutError):
        return "no answer in time"
    return (getattr(failed, "strerror", None) or str(failed) or type(failed).__name__)[:200]
