"""What the gateway has to tell about one execution: bounded, and kept until Redis has it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Final

import redis

from knify import counters
from knify.store.notices import Notice, Notices

log = logging.getLogger(__name__)

MOST: Final = 100  # of one stage and execution
_DETAIL: Final = 300  # characters


class Told:
    """One execution's events. What repeats is told once, and of very many only that they are.

    Each has a mark: what is told `once` has the same with the next gateway, too.
    """

    def __init__(self, store: Notices, execution: str, news: Callable[[], None]) -> None:
        """`news` is called with each new one; somebody is to `save` then."""
        self._store, self._execution, self._news = store, execution, news
        self._waiting: list[Notice] = []  # not in Redis yet
        self._marks: set[str] = set()
        self._counts: Counter[str] = Counter()  # by stage
        self._life = secrets.token_hex(6)
        self._n = 0
        self._lock = asyncio.Lock()

    def once(self, stage: str, detail: str, *, mark: str | None = None) -> None:
        """Tell it, unless the same (`mark`, else the detail) was told before."""
        what = _plain(detail[:_DETAIL] if mark is None else mark)
        seen = f"{stage}:{hashlib.sha256(what.encode()).hexdigest()[:16]}"
        if seen not in self._marks and self._counts[stage] <= MOST:
            self._marks.add(seen)
            self._tell(stage, detail, seen)

    def add(self, stage: str, detail: str) -> None:
        """Tell it, as often as it happens."""
        self._n += 1
        self._tell(stage, detail, f"{self._life}.{self._n}")

    def _tell(self, stage: str, detail: str, mark: str) -> None:
        self._counts[stage] += 1
        if self._counts[stage] > MOST + 1:
            return
        counters.add("knify_gateway_told", label=stage)
        if self._counts[stage] > MOST:
            detail = f"more than {MOST} such events: further ones are not told"
            mark = f"{stage}:more"
        self._waiting.append(Notice(mark, stage, "warning", _plain(detail[:_DETAIL])))
        self._news()

    @property
    def is_saved(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    async def save(self) -> bool:
        """Into Redis, as far as that answers; whether all is there."""
        async with self._lock:
            sent = list(self._waiting)
            if sent:
                try:
                    await asyncio.to_thread(self._store.tell, self._execution, sent)
                except redis.RedisError as away:
                    log.warning("%s: events wait for Redis: %s", self._execution, away)
                    return False
                del self._waiting[: len(sent)]
        return self.is_saved


def _plain(text: str) -> str:
    """With question marks for what no text in UTF-8 has: halves of pairs, from JSON's escapes."""
    return text.encode(errors="replace").decode()
