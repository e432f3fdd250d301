"""Hints through Celery: the one place that sends tasks, by name, without knowing the workers.

A hint says "look at this id now". Redis holds the truth; a lost hint costs at most one sweep,
a doubled one costs nothing. Messages are written as Celery and kombu write them (task protocol 2,
Redis transport), but by hand and many at a time: `apply_async` costs as much as the whole rest
of a submission, and loading Celery a quarter of the API's memory.
"""

from __future__ import annotations

import base64
import json
import logging
import queue
import threading
import time
import uuid
from typing import Any, Protocol

from knify.store import places
from knify.store.redis import connect, refuse_out_of_reach

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
    return places.broker(redis_url).url


def configure(app: Any, redis_url: str) -> None:
    """Settings of the Celery application, which workers and beat have."""
    broker = places.broker(redis_url)
    app.conf.update(
        broker_url=broker.url,
        broker_use_ssl=broker.tls,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_keepalive": True,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "health_check_interval": 25,
            **broker.transport,
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
        self._client = connect(redis_url, timeout=5)
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
        refuse_out_of_reach()
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
        sent = 0.0
        while True:
            batch = [self._waiting.get()]
            # The first goes at once; those of a burst together.
            time.sleep(max(0.0, sent + _GAP_SECONDS - time.monotonic()))
            sent = time.monotonic()
            while len(batch) < _BATCH and not self._waiting.empty():
                batch.append(self._waiting.get())
            try:
                pipe = self._client.pipeline(transaction=False)
                for task, subject, to in batch:
                    pipe.lpush(to, message(task, subject, to))
                pipe.execute()
            except Exception as failed:  # the sweeper repeats them; the thread must not end
                log.warning("%d hints not sent: %s", len(batch), failed)


def message(task: str, subject: str, to: str) -> str:
    """A call of `task(subject)` in the queue `to`, as kombu's Redis transport stores it."""
    task_id = str(uuid.uuid4())
    headers = _HEADERS | {
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "argsrepr": repr([subject]),
    }
    properties = _PROPERTIES | {
        "correlation_id": task_id,
        "delivery_info": {"exchange": "", "routing_key": to},
        "delivery_tag": str(uuid.uuid4()),
    }
    body = json.dumps([[subject], {}, _EMBED]).encode()
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )


_BATCH = 100
_GAP_SECONDS = 0.01  # between two batches
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_HEADERS: dict[str, Any] = {
    "lang": "py",
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "retries": 0,
    "timelimit": [None, None],
    "parent_id": None,
    "kwargsrepr": "{}",
    "origin": "knify",
    "ignore_result": True,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
_PROPERTIES: dict[str, Any] = {
    "reply_to": "",
    "delivery_mode": 2,
    "priority": 0,
    "body_encoding": "base64",
}


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
