"""Pieces of stored streams as text, remembered for all who read the same."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass

#: Where a client is: number of the entry, and within it the number of the event.
Position = tuple[int, int]

KEPT = 256  # pages
KEPT_CHARACTERS = 64 * 1024  # a longer page is read by each client on its own
READERS = 8  # clients of one tenant that may read streams at one time


@dataclass(frozen=True, slots=True)
class Page:
    """Some events as text."""

    text: str
    end: Position  # where its reader is then
    last: bool  # nothing follows it
    turn: int = 0  # the newest one when it was read
    few: bool = False  # probably all that there was

    def complete(self, turn: int) -> bool:
        """Whether what it does not hold has a later turn than this one."""
        return self.few and self.turn >= turn


class Pages:
    """What was read a moment ago, for all who follow the same stream at the same place.

    Streams only grow, so a page once read stays right: its reader goes on behind its end.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Page] = {}
        self._readers: weakref.WeakValueDictionary[str, threading.BoundedSemaphore] = (
            weakref.WeakValueDictionary()
        )

    def reading(self, tenant: str) -> threading.BoundedSemaphore:
        """One of its tenant's places, for as long as somebody reads."""
        found = self._readers.get(tenant)
        if found is None:
            found = self._readers[tenant] = threading.BoundedSemaphore(READERS)
        return found

    def get(self, key: Hashable) -> Page | None:
        """The page, or None."""
        return self._known.get(key)

    def keep(self, key: Hashable, page: Page) -> None:
        """Remember it in place of the oldest, unless it is long."""
        if len(page.text) > KEPT_CHARACTERS:
            return
        while len(self._known) >= KEPT:
            self._known.pop(next(iter(self._known)), None)
        self._known[key] = page
