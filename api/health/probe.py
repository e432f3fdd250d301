"""Whether the object store answers: asked seldom, however often somebody wants to know."""

from __future__ import annotations

import logging
import threading
import time

from knify import errors
from knify.objects import base

SECONDS = 2.0  # for which an answer counts; who asks needs no key

log = logging.getLogger(__name__)


class Probe:
    """The last answer. While one request asks for the next, the others wait for that."""

    def __init__(self, objects: base.ObjectStore) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._said, self._until = "", 0.0

    def look(self) -> str:
        """`ok`, or what is wrong."""
        with self._lock:
            if not self._said or time.monotonic() >= self._until:
                self._said = self._ask()
                self._until = time.monotonic() + SECONDS
            return self._said

    def _ask(self) -> str:
        try:
            self._objects.check()
        except errors.KnifyError as failed:
            log.warning("the object store is away: %s", failed.message)
            return "does not answer"
        return "ok"
