"""Waiting for Redis at a start: it may be started later, or still load its file."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from knify import errors
from knify import settings as settings_module
from knify.store import open as store_open

_QUIET = 1.0  # seconds of waiting that are worth no line
_REPEAT = 5.0  # seconds between two lines that say the same
_PAUSE = 0.02, 0.5  # seconds between two attempts, at first and later


def wait(
    settings: settings_module.Settings, say: Callable[[str], None], seconds: float | None = None
) -> None:
    """Until Redis answers; meanwhile `say` is told why it does not.

    ConfigError after `seconds`; None waits for ever, which suits a part whose supervisor
    starts Redis at its own pace.
    """
    store = store_open.from_settings(settings)
    started = time.monotonic()
    next_line = started + _QUIET
    while True:
        try:
            store.registry.ping()
            break
        except redis.RedisError as away:  # also while it loads its file
            failed = away
        now = time.monotonic()
        if seconds is not None and now > started + seconds:
            raise errors.ConfigError(f"Redis does not answer: {failed}") from failed
        if now >= next_line:
            say(f"waiting for Redis: {failed}")
            next_line = now + _REPEAT
        time.sleep(_PAUSE[now > started + _QUIET])
    store.client.close()
    if next_line > started + _QUIET:
        say(f"Redis answers after {time.monotonic() - started:.0f} s")
