"""When a request is sent again, and after how long. Decisions only; nobody sleeps here."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

#: Answers that say: not now. Nothing was done.
BUSY: Final = frozenset({429, 502, 503})


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a client is."""

    attempts: int = 5  # sendings of one request in all
    stream_attempts: int = 10  # connections of a stream in a row that bring nothing new
    base: float = 0.2  # seconds before the second attempt; doubles each time
    longest: float = 5.0  # seconds between two attempts at most
    longest_asked: float = 60.0  # a Retry-After beyond this is an error instead

    def delay(self, attempt: int, retry_after: str | None = None) -> float | None:
        """Seconds to wait after failed attempt 1, 2, …; None when the server asks for too much."""
        if retry_after is not None and (asked := _seconds(retry_after)) is not None:
            return asked if asked <= self.longest_asked else None
        # Jitter keeps clients that failed together from coming back together.
        delay = min(self.longest, self.base * 2.0 ** (attempt - 1))
        return delay * random.uniform(0.5, 1)  # noqa: S311 - no secret hangs on it


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
