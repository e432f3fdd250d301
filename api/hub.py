"""One subscription to Redis per process, however many clients follow streams.

A message is only a hint that something can be read: each client has one flag, so a slow client
costs nothing and a lost message costs one heartbeat.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

import redis

from api import pages, turns
from knify.store import keys, places
from knify.store import redis as store_redis

QUIET_SECONDS = 10.0  # without any word, ask whether the connection lives
RETRY_SECONDS = 0.5

log = logging.getLogger(__name__)


class _Listening:
    """A waiter, heard from the beginning to the end of its block."""

    def __init__(self, hub: Hub, channel: str) -> None:
        self._hub = hub
        self._channel = channel
        self._waiter: turns.Waiter | None = None

    def __enter__(self) -> turns.Waiter:
        """Listen from now on; the waiter is woken once the subscription stands."""
        self._waiter = self._hub.add(self._channel)
        return self._waiter

    def __exit__(self, *_: object) -> None:
        """Listen no more."""
        if self._waiter is not None:
            self._hub.remove(self._channel, self._waiter)


class Hub:
    """Owns the connection and its thread, which begins with the first waiter."""

    def __init__(self, redis_url: str) -> None:
        """Nothing is sent yet."""
        # RESP2: there, a subscribed connection's replies are all plain lists.
        self._pool: Any = redis.ConnectionPool(
            **places.options(redis_url), protocol=2, decode_responses=True, socket_timeout=None,
            socket_connect_timeout=1.5, health_check_interval=0, **store_redis.keepalive(redis_url),
        )  # fmt: skip
        self._lock = threading.Lock()
        self._channels: dict[str, turns.Channel] = {}
        self._connection: Any = None
        self._thread: threading.Thread | None = None
        self.pages = pages.Pages()

    def waiter(self, execution_id: str) -> contextlib.AbstractContextManager[turns.Waiter]:
        """For whoever follows this execution."""
        return self.listening(keys.execution(execution_id))

    def listening(self, channel: str) -> contextlib.AbstractContextManager[turns.Waiter]:
        """For whoever waits for a word at this channel."""
        return _Listening(self, channel)

    def channels(self) -> list[str]:
        """What is listened to now."""
        with self._lock:
            return sorted(self._channels)

    def close(self) -> None:
        """Let go of the connection; its thread ends unless somebody still waits."""
        self._disconnect()

    def add(self, name: str) -> turns.Waiter:
        """One more who follows; subscribe if nobody did."""
        with self._lock:
            is_new = name not in self._channels
            channel = self._channels.setdefault(name, turns.Channel())
            waiter = turns.Waiter(channel)
            channel.waiters[waiter] = None
            if is_new:
                self._send("SUBSCRIBE", name)
            else:
                waiter.wake()
            self._start()
        return waiter

    def remove(self, name: str, waiter: turns.Waiter) -> None:
        """Unsubscribe with the last one."""
        with self._lock:
            channel = self._channels.get(name)
            if channel is None:
                return
            channel.waiters.pop(waiter, None)
            if not channel.waiters:
                del self._channels[name]
                self._send("UNSUBSCRIBE", name)

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
                if not self._channels:  # the next waiter begins anew
                    self._thread = None
                    return
            time.sleep(RETRY_SECONDS)

    def _connect(self) -> Any:
        connection = self._pool.make_connection()
        connection.connect()
        with self._lock:
            self._connection = connection
            if self._channels:
                self._send("SUBSCRIBE", *self._channels)
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

    def _heard(self, reply: Any) -> None:
        """A message, or the word that a subscription stands: its channel has a turn."""
        if isinstance(reply, list) and reply[0] in ("message", "subscribe"):
            channel = self._channels.get(reply[1])
            if channel is not None:
                channel.rouse()
