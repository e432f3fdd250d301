"""Hints through Celery: the one place that sends tasks, by name, without knowing the workers.

A hint says "look at this id now". Redis holds the truth; a lost hint costs at most one sweep,
a doubled one costs nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any, Protocol

from celery import Celery

ADVANCE = "knify.advance"
REMOVE = "knify.remove"
SWEEP = "knify.sweep"
ANY_NODE = "knify"

log = logging.getLogger(__name__)


def node_queue(node: str) -> str:
    """The queue for what lives on one node; '' means any node."""
    return f"{ANY_NODE}.node.{node}" if node else ANY_NODE


def broker_url(redis_url: str) -> str:
    """kombu's spelling of a Redis URL."""
    return redis_url.replace("unix://", "redis+socket://", 1)


def configure(app: Celery, redis_url: str) -> None:
    """Settings that producers and workers share."""
    app.conf.update(
        broker_url=broker_url(redis_url),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_keepalive": True,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "health_check_interval": 25,
            "polling_interval": 3,  # seconds until a quiet worker asks Redis again, for BRPOP
        },
        task_default_queue=ANY_NODE,
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        task_send_sent_event=True,
        enable_utc=True,
    )


class Hints(Protocol):
    """Who wants workers to look at something tells one of these; it never blocks or fails."""

    def advance(self, execution_id: str, node: str = "") -> None:
        """Look at this execution, on its sandbox's node if it has one."""

    def remove(self, sandbox_id: str, node: str) -> None:
        """Remove this deleted sandbox's container and volumes."""


class CeleryHints:
    """Sends from one background thread with one kept connection, so that callers never wait."""

    def __init__(self, redis_url: str) -> None:
        self._app = Celery("knify-hints", set_as_current=False)
        configure(self._app, redis_url)
        self._app.conf.task_send_sent_event = False  # the worker's `received` says as much
        self._waiting: queue.Queue[tuple[str, str, str]] = queue.Queue(maxsize=10_000)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def advance(self, execution_id: str, node: str = "") -> None:
        """See `Hints`."""
        self._put(ADVANCE, execution_id, node_queue(node))

    def remove(self, sandbox_id: str, node: str) -> None:
        """See `Hints`."""
        self._put(REMOVE, sandbox_id, node_queue(node))

    def _put(self, task: str, subject: str, to: str) -> None:
        self._start()
        try:
            self._waiting.put_nowait((task, subject, to))
        except queue.Full:
            log.warning("hint dropped, the sweeper will repeat it")

    def _start(self) -> None:
        """Begin on first use: a thread made before a fork would be lost in the child."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._send_all, daemon=True, name="hints")
                self._thread.start()

    def _send_all(self) -> None:
        while True:
            task, subject, to = self._waiting.get()
            try:
                self._app.send_task(task, args=[subject], queue=to, retry=False)
            except Exception as failed:  # any broker error: the sweeper repeats the hint
                log.warning("hint not sent: %s", failed)


class RecordedHints:
    """Hints kept in a list, for tests."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def advance(self, execution_id: str, node: str = "") -> None:
        """See `Hints`."""
        self.sent.append((ADVANCE, execution_id, node))

    def remove(self, sandbox_id: str, node: str) -> None:
        """See `Hints`."""
        self.sent.append((REMOVE, sandbox_id, node))
