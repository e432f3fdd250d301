"""Noticing that Redis was put back to an older state: a restored file, or an emptied store.

Redis counts (`knify:clock`); each process remembers how far it saw it count, in memory and in a
file of its home. A smaller number than that is a rollback. Whoever notices first raises the
epoch, which makes all fences of before too small.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from knify import settings as settings_module
from knify.store.registry import Registry

log = logging.getLogger(__name__)


class Epoch:
    """What this process has seen of the store."""

    def __init__(self, registry: Registry, settings: settings_module.Settings) -> None:
        self._registry = registry
        self._path = settings.home / "store.seen"
        self._seen = _read(self._path)

    def look(self) -> bool:
        """Whether the store was put back since the last look, whoever noticed it."""
        known = self._seen
        pulse = self._registry.pulse(*known)
        self._seen = pulse.epoch, pulse.clock
        if pulse.noticed:
            log.error(
                "Redis was put back to an older state: it counted to %d, this node saw %d; "
                "epoch %d begins, all jobs are claimed anew",
                *(pulse.found, known[1], pulse.epoch),
            )
        elif pulse.epoch != known[0]:
            log.warning("epoch %d of the store: Redis was put back earlier", pulse.epoch)
        return pulse.epoch != known[0]

    def save(self) -> None:
        """Remember it beyond this process. A lost write costs knowledge, nothing else."""
        if _read(self._path) >= self._seen:
            return
        fresh = self._path.with_suffix(f".{os.getpid()}")  # a node's workers may share the home
        fresh.write_text(json.dumps(self._seen))
        fresh.replace(self._path)


def _read(path: Path) -> tuple[int, int]:
    try:
        epoch, clock = json.loads(path.read_text())
        return int(epoch), int(clock)
    except (OSError, ValueError, TypeError):
        return 0, 0
