"""When a request is sent again, and after how long. Decisions only; nobody sleeps here."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from knify import errors as knify_errors
from knify.client import access, errors

#: Answers that say: not now. Nothing was done.
BUSY: Final = frozenset({429, 502, 503})
_LOST: Final = "STORE_EMPTY"  # which no waiting cures

_TLS: Final = (
    "check that KNIFY_URL should begin with https, and the server's certificate; SSL_CERT_FILE"
    " names the authorities to trust"
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a client is."""

    attempts: int = 7  # sendings of one request in all: some ten seconds
    first_attempts: int = 4  # the same, while the server has never answered
    stream_attempts: int = 10  # the same for what takes long: streams, waiting, pipelines
    stream_seconds: float = 300.0  # these go on for so long at least: servers restart
    base: float = 0.2  # seconds before the second attempt; doubles each time
    longest: float = 5.0  # seconds between two attempts at most
    longest_asked: float = 60.0  # a Retry-After beyond this is an error instead
    on_wait: Callable[[float, knify_errors.KnifyError], None] | None = None  # hears of every pause

    def is_over(self, attempt: int, *, met: bool, lasted: float | None = None) -> bool:
        """Whether this attempt was the last.

        `met`: the server has answered before. `lasted`: for how many seconds a part of something
        long has failed; None for what is not.
        """
        if not met:
            return attempt >= min(self.attempts, self.first_attempts)
        if lasted is None:
            return attempt >= self.attempts
        enough = max(self.attempts, self.stream_attempts)
        return attempt >= enough and lasted >= self.stream_seconds

    def delay(self, attempt: int, retry_after: str | None = None) -> float | None:
        """Seconds to wait after failed attempt 1, 2, …; None when the server asks for too much."""
        if retry_after is not None and (asked := _seconds(retry_after)) is not None:
            return asked if asked <= self.longest_asked else None
        # Jitter keeps clients that failed together from coming back together.
        delay = min(self.longest, self.base * 2.0 ** (attempt - 1))
        return delay * random.uniform(0.5, 1)  # noqa: S311 - no secret hangs on it


@dataclass(frozen=True, slots=True)
class Trouble:
    """A failure that another attempt may cure."""

    error: errors.ApiError | errors.ConnectionFailed  # what the user gets if it does not
    unsent: bool = False  # certainly, so that it may be sent again whatever it is
    retry_after: str | None = None


def trouble(failed: Exception, where: access.Access) -> Trouble | None:
    """What to make of a failure; None when another attempt would not help."""
    if isinstance(failed, errors.ApiError) and failed.status in BUSY and failed.code != _LOST:
        # Who is refused for the number of his requests has done nothing by them.
        return Trouble(failed, failed.status == 429, failed.retry_after)
    if isinstance(failed, httpx.TransportError):
        unsent = isinstance(failed, httpx.ConnectError | httpx.ConnectTimeout)
        return Trouble(no_answer(failed, where), unsent)
    return None


def no_answer(failed: httpx.TransportError, where: access.Access) -> errors.ConnectionFailed:
    """A broken connection in the user's words, with the cure."""
    late = isinstance(failed, httpx.TimeoutException)
    if late and not isinstance(failed, httpx.ConnectTimeout):
        return errors.ConnectionFailed(f"the server at {where.url} did not answer in time")
    reason = str(failed) or type(failed).__name__
    if _is_tls(failed):
        return errors.ConnectionFailed(f"no TLS connection to {where.url} ({reason}): {_TLS}")
    if isinstance(failed, httpx.RemoteProtocolError) and "illegal" in reason:
        said = f"what answers at {where.url} is no Knify server ({reason})"
        return errors.ConnectionFailed(f"{said}: check KNIFY_URL")
    start = "start it with `knify up`" if where.loopback else "check KNIFY_URL"
    return errors.ConnectionFailed(f"no Knify server answers at {where.url} ({reason}): {start}")


def _is_tls(failed: BaseException | None) -> bool:
    """Whether TLS is what failed, however it was wrapped."""
    while failed is not None and not isinstance(failed, ssl.SSLError):
        failed = failed.__cause__ or failed.__context__
    return failed is not None


def is_past(deadline: float, after: float = 0.0) -> bool:
    """Whether this moment of the monotonic clock has come, or will have `after` seconds."""
    return time.monotonic() + after >= deadline


def timeout_until(deadline: float) -> httpx.Timeout:
    """As patient as ever, but not much beyond the deadline."""
    return httpx.Timeout(max(2.0, min(30.0, deadline - time.monotonic())))


def _seconds(retry_after: str) -> float | None:
    """Seconds from a header that holds a number or a date."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
