"""Requests that are passed on with something that the sandbox must not see: keys, logins.

Answers stream through. The secret is taken out of errors and heads, should the other side quote
it; and when the sandbox goes away, so does what was asked on its behalf.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import aiohttp
import h11
import yarl
from aiohttp import abc

from knify import errors
from knify.gateway import line as lines
from knify.gateway import sides

SILENT_SECONDS: Final = 900.0  # of the other side
CONNECT_SECONDS: Final = 15.0
_KEEP_SECONDS: Final = 15.0  # an idle connection: less than vendors keep it
_ERROR_BYTES: Final = 256 * 1024
_HIDDEN: Final = b"[hidden]"
#: There was no connection yet.
_UNASKED: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    errors.KnifyError,
)


class Unreachable(Exception):
    """There is no answer; why, in words for the sandbox."""

    def __init__(self, why: str, *, was_asked: bool) -> None:
        """`was_asked`: something of the request may have come there."""
        super().__init__(why)
        self.was_asked = was_asked


class Broken(lines.Gone):
    """Half an answer came, so the sandbox's connection breaks, too."""


class Heard(Protocol):
    """Reads an answer in passing."""

    async def hear(self, piece: bytes) -> bytes:
        """What may be sent on by now."""

    async def end(self) -> bytes:
        """The answer is whole; what was held back of it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as it is sent on."""

    method: str
    url: str  # encoded
    headers: dict[str, str] = field(repr=False)
    content: bytes | AsyncIterator[bytes] | None = None


class Upstream:
    """A client for many requests; made within the event loop."""

    def __init__(self, tls: Any, resolver: abc.AbstractResolver | None = None) -> None:
        """`tls`: what certificates are checked with (`ssl.SSLContext`)."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_SECONDS, ssl=tls, resolver=resolver
            ),
            timeout=limits,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """At the end of this process."""
        await self._session.close()

    @asynccontextmanager
    async def asked(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer's head, its body to be streamed. Unreachable."""
        try:
            answer = await self._session.request(
                ask.method,
                yarl.URL(ask.url, encoded=True),
                data=ask.content or None,
                headers=ask.headers,
                skip_auto_headers=("user-agent", "content-type", "accept", "accept-encoding"),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, errors.KnifyError) as failed:
            raise Unreachable(
                _words(failed), was_asked=not isinstance(failed, _UNASKED)
            ) from failed
        try:
            yield answer
        finally:
            if not answer.content.at_eof():
                answer.close()
            answer.release()


async def watched(
    line: lines.Line, working: Coroutine[Any, Any, None], read: asyncio.Event | None = None
) -> None:
    """Do it as long as the sandbox waits for the answer. Gone.

    `read` is set when the request's body has been read: only then its end can be seen.
    """

    async def leaves() -> None:
        if read is not None:
            await read.wait()
        await line.left()
        raise lines.Gone

    await sides.first(working, leaves())


async def stream(
    line: lines.Line,
    answer: aiohttp.ClientResponse,
    headers: lines.Headers,
    heard: Heard | None = None,
) -> None:
    """The answer, piece by piece as it comes. Broken, Gone.

    What is heard is heard to its end, as long as that is waited for, also without the sandbox.
    """
    gone = await _sent(line, h11.Response(status_code=answer.status, headers=headers))
    try:
        async for piece in answer.content.iter_any():
            line.until(SILENT_SECONDS)
            shown = piece if heard is None else await heard.hear(piece)
            if gone is None and shown:
                gone = await _sent(line, h11.Data(data=shown))
            if gone is not None and heard is None:
                raise gone
    except (aiohttp.ClientError, OSError) as failed:
        raise Broken from failed
    rest = b"" if heard is None else await heard.end()
    if gone is not None:
        raise gone
    if rest:
        await line.send(h11.Data(data=rest))
    await line.send(h11.EndOfMessage())


async def _sent(line: lines.Line, event: h11.Event) -> lines.Gone | None:
    """Why it was not: the sandbox has gone, which whoever watches the connection sees then too."""
    try:
        await line.send(event)
    except lines.Gone as gone:
        line.abort()
        return gone
    return None


async def error(
    line: lines.Line,
    answer: aiohttp.ClientResponse,
    headers: lines.Headers,
    secrets: tuple[str, ...],
) -> None:
    """What went wrong there, as far as it is short, without the secrets. Broken, Gone."""
    content = b""
    try:
        while len(content) < _ERROR_BYTES and (more := await answer.content.read(_ERROR_BYTES)):
            content += more
    except (aiohttp.ClientError, OSError) as failed:
        raise Broken from failed
    content = hidden(content, secrets)
    kept = [*headers, (b"content-length", str(len(content)).encode())]
    await line.send(h11.Response(status_code=answer.status, headers=kept))
    await line.send(h11.Data(data=content))
    await line.send(h11.EndOfMessage())


def shown(headers: Any, without: frozenset[bytes], secrets: tuple[str, ...] = ()) -> lines.Headers:
    """An answer's headers as a sandbox may see them; `headers`: pairs of bytes."""
    kept = lines.passed_on(headers, without | {b"content-length"})
    return [(name, hidden(value, secrets)) for name, value in kept]


def hidden(content: bytes, secrets: tuple[str, ...]) -> bytes:
    """Without them."""
    for secret in filter(None, secrets):
        content = content.replace(secret.encode(), _HIDDEN)
    return content


def _words(failed: Exception) -> str:
    if isinstance(failed, errors.KnifyError):
        return failed.message
    if isinstance(failed, TimeoutError):
        return "no answer in time"
    return (getattr(failed, "strerror", None) or type(failed).__name__)[:200]
