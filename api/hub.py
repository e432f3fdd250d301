"""One subscription to Redis per process, however many clients follow streams.

A message is only a hint that something can be read: each client has one flag, so a slow client
costs nothing and a lost message costs one heartbeat.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable
from types import TracebackType
from typing import Any, Self

import redis

from knify.store import keys
from knify.store import redis as store_redis

QUIET_SECONDS = 10.0  # without any word, ask whether the connection lives
RETRY_SECONDS = 0.5
PAGES = 256  # kept for those who read the same
GAP_SECONDS = (
    0.00005  # between two turns of one stream, for each of its clients: their sends take it
)
LONGEST_GAP_SECONDS = 0.05
SHORTEST_GAP_SECONDS = 0.002
READERS = 16  # connections that may read streams at one time

log = logging.getLogger(__name__)


class Waiter:
    """One client's interest in one execution; use it with `with`."""

    def __init__(self, hub: Hub, channel: str) -> None:
        self._hub = hub
        self._channel = channel
        self._flag = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Whether there may be something new; False after `seconds` without a hint."""
        heard = self._flag.wait(max(0.0, seconds))
        self._flag.clear()
        return heard

    def turn(self) -> int:
        """The hub's newest turn for this execution."""
        return self._hub.turn(self._channel)

    def wake(self) -> None:
        """Something may be new."""
        self._flag.set()

    def __enter__(self) -> Self:
        """Listen from now on; the flag is raised once the subscription stands."""
        self._hub.add(self._channel, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        self._hub.remove(self._channel, self)


class Pages:
    """What was read a moment ago, for all who follow the same stream at the same place.

    Streams only grow, so a page once read stays right: its reader goes on behind its end.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def get(self, key: Hashable) -> Any:
        """The page, or None."""
        return self._known.get(key)

    def keep(self, key: Hashable, page: Any) -> None:
        """Remember it in place of the oldest."""
        while len(self._known) >= PAGES:
            self._known.pop(next(iter(self._known)), None)
        self._known[key] = page


class Hub:
    """Owns the connection and its thread, which begins with the first waiter."""

    def __init__(self, redis_url: str) -> None:
        """Nothing is sent yet."""
        # RESP2: there, a subscribed connection's replies are all plain lists.
        client = redis.Redis.from_url(
            redis_url, protocol=2, decode_responses=True, socket_timeout=None,
            socket_connect_timeout=1.5, health_check_interval=0, **store_redis.keepalive(redis_url),
        )  # fmt: skip
        self._pool: Any = client.connection_pool
        self._lock = threading.Lock()
        self._waiters: dict[str, set[Waiter]] = {}
        self._turns: dict[str, int] = {}
        self._woken: dict[str, float] = {}  # when; in the future: a turn is on its way
        self._connection: Any = None
        self._thread: threading.Thread | None = None
        self.pages = Pages()
        self.reading = threading.BoundedSemaphore(READERS)

    def waiter(self, execution_id: str) -> Waiter:
        """For whoever follows this execution."""
        return Waiter(self, keys.execution(execution_id))

    def channels(self) -> list[str]:
        """What is listened to now."""
        with self._lock:
            return sorted(self._waiters)

    def close(self) -> None:
        """Let go of the connection; its thread ends unless somebody still waits."""
        self._disconnect()

    def add(self, channel: str, waiter: Waiter) -> None:
        """Subscribe if nobody did."""
        with self._lock:
            known = self._waiters.setdefault(channel, set())
            known.add(waiter)
            if len(known) == 1:
                self._send("SUBSCRIBE", channel)
            else:
                waiter.wake()
            self._start()

    def remove(self, channel: str, waiter: Waiter) -> None:
        """Unsubscribe with the last one."""
        with self._lock:
            known = self._waiters.get(channel, set())
            known.discard(waiter)
            if not known and self._waiters.pop(channel, None) is not None:
                self._turns.pop(channel, None)
                self._woken.pop(channel, None)
                self._send("UNSUBSCRIBE", channel)

    def _start(self) -> None:
        """Under the lock. A thread made before a fork would be lost in the child."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, daemon=True, name="hub")
            self._thread.start()

    def _send(self, *words: str) -> None:
        """Under the lock. A failure is the reading side's to mend."""
        if self._connection is None:
            return
        try:
            self._connection.send_command(*words, check_health=False)
        except (redis.RedisError, OSError) as failed:
            log.warning("hub: %s", failed)
            self._connection = None  # the reading thread sees that and connects anew

    def _run(self) -> None:
        told = False
        while True:
            try:
                connection = self._connect()
                told = False
                self._read(connection)
            except Exception as failed:  # whoever fails to send closes the connection under us
                if not told:
                    log.warning("hub: the connection to Redis is gone: %s", failed)
                told = True
            self._disconnect()
            with self._lock:
                if not self._waiters:  # the next waiter begins anew
                    self._thread = None
                    return
            time.sleep(RETRY_SECONDS)

    def _connect(self) -> Any:
        connection = self._pool.make_connection()
        connection.connect()
        with self._lock:
            self._connection = connection
            if self._waiters:
                self._send("SUBSCRIBE", *self._waiters)
            else:  # a connection without any subscription may PING too
                self._send("PING")
        return connection

    def _disconnect(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _read(self, connection: Any) -> None:
        asked = False
        while self._connection is connection:
            if connection.can_read(QUIET_SECONDS):
                self._heard(connection.read_response())
                asked = False
            elif asked:
                raise redis.ConnectionError("no answer to PING")
            else:
                asked = True
                with self._lock:
                    self._send("PING")

    def turn(self, channel: str) -> int:
        """How often its waiters were woken. What led to a turn can be read when it begins."""
        return self._turns.get(channel, 0)

    def _heard(self, reply: Any) -> None:
        """A message, or the word that a subscription stands: wake the channel's waiters."""
        if isinstance(reply, list) and reply[0] in ("message", "subscribe"):
            self._rouse(reply[1])

    def _rouse(self, channel: str) -> None:
        """Wake the waiters together and not too often: many of them get several lines at once."""
        with self._lock:
            now, pause = time.monotonic(), GAP_SECONDS * len(self._waiters.get(channel, ()))
            due = self._woken.get(channel, 0.0)
            if due > now:
                return  # a turn is on its way
            wait = due + min(pause, LONGEST_GAP_SECONDS) - now
            if wait > SHORTEST_GAP_SECONDS:
                self._woken[channel] = now + wait
        if wait > SHORTEST_GAP_SECONDS:
            timer = threading.Timer(wait, self._wake, (channel,))
            timer.daemon = True
            timer.start()
        else:
            self._wake(channel)

    def _wake(self, channel: str) -> None:
        with self._lock:
            waiters = list(self._waiters.get(channel, ()))
            if waiters:
                self._turns[channel] = self._turns.get(channel, 0) + 1
                self._woken[channel] = time.monotonic()
        for waiter in waiters:
            waiter.wake()
