"""One POST request to where a user said: to an address that was checked, with an end in time."""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from knify import egress, errors

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
TOTAL_SECONDS = 15.0  # with resolving, connecting and all
ANSWER_BYTES: Final = 64 * 1024  # that are read; the rest is not waited for
_TRIED: Final = 2  # addresses of one name


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said, or why it said nothing."""

    ms: int
    code: int | None = None  # HTTP status
    error: str | None = None  # for people; None when there is an answer
    retry_after: float | None = None  # seconds that the receiver asked for


async def send(
    url: str,
    headers: Mapping[str, str],
    content: bytes,
    *,
    private: bool = False,
    resolver: ThreadPoolExecutor,
) -> Answer:
    """Send it once. Redirects are not followed, proxies not used, connections not kept.

    `private` as in `egress`; names are resolved in the threads of `resolver`.
    """
    began = time.monotonic()
    code, error, retry_after = None, None, None
    try:
        async with asyncio.timeout(TOTAL_SECONDS):
            target = egress.parse(url)
            look = functools.partial(egress.resolve, target, private=private)
            addresses = await asyncio.get_running_loop().run_in_executor(resolver, look)
            code, retry_after = await _request(target, addresses, headers, content)
    except TimeoutError:
        error = f"no answer within {TOTAL_SECONDS:g} s"
    except (errors.EgressRefused, errors.NameUnknown) as refused:
        error = f"the url {refused.message}" if refused.code == "EGRESS_REFUSED" else str(refused)
    except _broken() as failed:
        error = _words(failed)
    return Answer(int((time.monotonic() - began) * 1000), code, error, retry_after)


async def _request(
    target: egress.Target,
    addresses: Sequence[egress.Address],
    headers: Mapping[str, str],
    content: bytes,
) -> tuple[int, float | None]:
    """The status, once the answer's head is there and its body was read, at least in part."""
    import httpcore  # only a process that has something to send loads it

    limits = {"connect": CONNECT_SECONDS, "read": READ_SECONDS, "write": READ_SECONDS}
    async with (
        httpcore.AsyncConnectionPool(
            ssl_context=_tls(), network_backend=_pinned(addresses), max_keepalive_connections=0
        ) as pool,
        pool.stream(
            "POST",
            target.url,
            headers=list(headers.items()),
            content=content,
            extensions={"timeout": limits},
        ) as response,
    ):
        read = 0
        async for chunk in response.aiter_stream():
            read += len(chunk)
            if read > ANSWER_BYTES:
                break
        return response.status, _retry_after(response.headers)


def _pinned(addresses: Sequence[egress.Address]) -> Any:
    """A network that leads to these addresses, whatever host is asked for.

    TLS still checks the certificate against the URL's host.
    """
    import httpcore

    class Pinned(httpcore.AsyncNetworkBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            inner = httpcore.AnyIOBackend()
            for address in addresses[:_TRIED]:
                try:
                    return await inner.connect_tcp(str(address), port, timeout=timeout)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                    problem = failed
            raise problem

    return Pinned()


@functools.cache
def _tls() -> ssl.SSLContext:
    """The system's authorities; `SSL_CERT_FILE` names others."""
    return ssl.create_default_context()


def _broken() -> tuple[type[Exception], ...]:
    import httpcore

    # The last three: what a hostile answer makes of the libraries, a URL that none of them reads.
    return (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
        OSError,
        ValueError,
    )


def _words(failed: Exception) -> str:
    """What went wrong on the way, for the delivery's owner."""
    kind = type(failed).__name__
    known = {
        "ConnectTimeout": f"no connection within {CONNECT_SECONDS:g} s",
        "ReadTimeout": f"no answer within {READ_SECONDS:g} s",
        "WriteTimeout": f"the request was not taken within {READ_SECONDS:g} s",
        "RemoteProtocolError": "the connection ended before a whole answer, or it was no HTTP",
    }
    return known.get(kind) or f"no connection: {str(failed) or kind}"[:500]


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Seconds; the form with a date is not minded."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) < 7:
            return float(value)
    return None
