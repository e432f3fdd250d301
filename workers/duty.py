"""A duty: a function that a thread of its own calls, when told and after as long as it says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import redis

from knify import errors

log = logging.getLogger(__name__)

_AFTER_FAILURE = 5.0


def begin(name: str, told: threading.Event, function: Callable[[], float]) -> None:
    """Call it now and for ever: after the seconds it returned, or as soon as `told` is set."""
    threading.Thread(target=_forever, args=(name, told, function), name=name, daemon=True).start()


def _forever(name: str, told: threading.Event, function: Callable[[], float]) -> None:
    while True:
        told.clear()
        try:
            seconds = function()
        except (errors.KnifyError, redis.RedisError, OSError) as failed:
            log.warning("%s: %s", name, failed)
            seconds = _AFTER_FAILURE
        except Exception:
            log.exception("%s failed", name)  # a bug must not end the duty
            seconds = _AFTER_FAILURE
        told.wait(seconds)
