"""Who follows one execution, and when they are told that there is something new.

They have their turns together and not too often, so that many of them get several lines at once.
Who is up to date is served from here (`Live`): one reading and one encoding for all, and one call
of the kernel for each. Waking every client's own thread instead costs several times as much.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import Protocol

from api.pages import Page, Position

GAP_SECONDS = 0.00005  # between two turns, for each client: their sends take about that
LONGEST_GAP_SECONDS = 0.05
SHORTEST_GAP_SECONDS = 0.002
AT_ONCE = 50  # clients, before others in this process have their turn

log = logging.getLogger(__name__)
_numbers = itertools.count(1)


class Live(Protocol):
    """A client that has all that there was, and waits: only its channel writes to it.

    That holds where threads change only when they wait, as gevent's do.
    """

    kind: str  # which of the execution's streams it reads
    after: Position  # where in it

    def read(self) -> Page | None:
        """Some of what is behind its place; the same for all who are there."""

    def take(self, page: Page) -> bool:
        """Send it and move on; whether the client is still up to date and connected."""


class Channel:
    """All who follow one execution in this process."""

    def __init__(self) -> None:
        self.waiters: dict[Waiter, None] = {}
        self.turn = 0  # how often they were told; what led to a turn can be read when it begins
        self._due = 0.0  # monotonic: when the latest turn was, or when the next one will be
        self._serving = False
        self._again = False
        self._lock = threading.Lock()

    def rouse(self) -> None:
        """Something may be new: a turn, now or soon."""
        with self._lock:
            now, pause = time.monotonic(), GAP_SECONDS * len(self.waiters)
            if self._due > now:
                return  # a turn is on its way
            wait = self._due + min(pause, LONGEST_GAP_SECONDS) - now
            if wait > SHORTEST_GAP_SECONDS:
                self._due = now + wait
        if wait > SHORTEST_GAP_SECONDS:
            timer = threading.Timer(wait, self._begin)
            timer.daemon = True
            timer.start()
        else:
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            self.turn, self._due = next(_numbers), time.monotonic()
            some_live = False
            for waiter in list(self.waiters):
                some_live = some_live or waiter.live is not None
                if waiter.live is None:
                    waiter.wake()
            if not some_live:
                return
            self._again = self._serving
            if self._serving:
                return
            self._serving = True
        # Reading may take long: nothing else waits for it.
        threading.Thread(target=self._serve, daemon=True, name="turn").start()

    def _serve(self) -> None:
        while True:
            try:
                self._serve_all()
            except Exception as failed:  # each client's own thread meets it and says so
                log.warning("a turn failed: %s", failed)
                for waiter in list(self.waiters):
                    waiter.wake()
            with self._lock:
                if not self._again:
                    self._serving = False
                    return
                self._again = False

    def _serve_all(self) -> None:
        places: dict[tuple[str, Position], list[Waiter]] = {}
        for waiter in list(self.waiters):
            if waiter.live is not None:
                places.setdefault((waiter.live.kind, waiter.live.after), []).append(waiter)
        for (kind, after), waiters in places.items():
            self._serve_place(kind, after, waiters)

    def _serve_place(self, kind: str, after: Position, waiters: list[Waiter]) -> None:
        """To all at one place what is behind it, page by page."""
        turn = self.turn
        while waiters := [w for w in waiters if w.is_at(kind, after)]:
            live = waiters[0].live
            page = live.read() if live else None
            if page is None:
                return
            for n, waiter in enumerate(waiters, 1):
                if n % AT_ONCE == 0:
                    time.sleep(0)
                waiter.take(page, kind, after)
            if page.complete(turn):
                return
            after = page.end


class Waiter:
    """One client's interest in one execution."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._flag = threading.Event()
        self.live: Live | None = None

    def wait(self, seconds: float, live: Live | None = None) -> bool:
        """Whether there may be something new; False after `seconds` without a hint.

        A `live` one is served meanwhile, and told only what it must see to itself.
        """
        self.live = live
        try:
            return self._flag.wait(max(0.0, seconds))
        finally:
            self.live = None
            self._flag.clear()

    def is_at(self, kind: str, after: Position) -> bool:
        """Whether it is live, and there."""
        return self.live is not None and (self.live.kind, self.live.after) == (kind, after)

    def take(self, page: Page, kind: str, after: Position) -> None:
        """For its client, if that is still there; its own thread goes on if it cannot."""
        if self.live is not None and self.is_at(kind, after) and not self.live.take(page):
            self.live = None
            self.wake()

    def turn(self) -> int:
        """The number of the newest turn."""
        return self._channel.turn

    def wake(self) -> None:
        """Something may be new."""
        self._flag.set()
