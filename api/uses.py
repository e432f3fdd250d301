"""When keys were last used: noted in memory, written by a thread of its own."""

from __future__ import annotations

import logging
import threading
import time

from knify.core import Core

QUIET_SECONDS = 60.0  # a key's use is written at most that often
GATHER_SECONDS = 1.0  # what comes together is written together

log = logging.getLogger(__name__)


class Uses:
    """Costs a request one look into a dict; losing some with the process does no harm."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._noted: dict[str, float] = {}
        self._fresh: set[str] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self, key_id: str) -> None:
        """The key was used just now."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        with self._lock:
            self._noted[key_id] = now
            self._fresh.add(key_id)
            if self._thread is None:  # made after the fork of a server
                self._thread = threading.Thread(target=self._write, daemon=True, name="uses")
                self._thread.start()

    def _write(self) -> None:
        """Once; the next use that is to be written begins anew."""
        time.sleep(GATHER_SECONDS)
        with self._lock:
            fresh, self._fresh, self._thread = self._fresh, set(), None
            now = time.monotonic()
            self._noted = {k: at for k, at in self._noted.items() if now - at < QUIET_SECONDS}
        try:
            self._core.store.access.used_keys(fresh)
        except Exception as failed:  # it is said again with the next use, in a minute
            log.warning("when keys were used was not written: %s", failed)
