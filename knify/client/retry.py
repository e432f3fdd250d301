"""When a request is sent again, and after how long. Decisions only; nobody sleeps here."""

from __future__ import annotations

import random
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


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a client is."""

    attempts: int = 7  # sendings of one request in all: some ten seconds
    first_attempts: int = 4  # the same, while the server has never answered
    stream_attempts: int = 10  # the same for what takes long: streams, waiting, pipelines
    base: float = 0.2  # seconds before the second attempt; doubles each time
    longest: float = 5.0  # seconds between two attempts at most
    longest_asked: float = 60.0  # a Retry-After beyond this is an error instead
    on_wait: Callable[[float, knify_errors.KnifyError], None] | None = None  # hears of every pause

    def tries(self, *, met: bool, enduring: bool = False) -> int:
        """How often a request is sent in all.

        `met`: the server has answered before. `enduring`: it is a part of something long.
        """
        patience = max(self.attempts, self.stream_attempts) if enduring else self.attempts
        return patience if met else min(patience, self.first_attempts)

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
    if isinstance(failed, errors.ApiError) and failed.status in BUSY:
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
    start = "start it with `knify up`" if where.loopback else "check KNIFY_URL"
    reason = str(failed) or type(failed).__name__
    return errors.ConnectionFailed(f"no Knify server answers at {where.url} ({reason}): {start}")


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
