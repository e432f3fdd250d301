"""What every start makes sure of: Redis answers, and home and store are one installation.

Any number of processes may come here at once, on any number of machines.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from knify import core, errors, hints
from knify import settings as settings_module
from knify.services import keys
from knify.store import open as store_open

_QUIET = 1.0  # seconds of waiting that are worth no line
_REPEAT = 5.0  # seconds between two lines that say the same
_PAUSE = 0.02, 0.5  # seconds between two attempts, at first and later


def wait_for_redis(
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


def install(settings: settings_module.Settings) -> str | None:
    """Bind home and store to one installation; the text of the first admin key, if made now.

    ConfigError when the store belongs to another installation than the home.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = core.connect(settings, hints.RecordedHints())
    with _alone(settings.home):
        marker = settings.home / "installation"
        wanted = marker.read_text().strip() if marker.exists() else None
        found = own.store.registry.installation(wanted)
        if wanted is None:
            _write_private(marker, found)
        first = _first_key(own, key_file(settings))
    own.store.client.close()  # the caller may fork
    return first


def key_file(settings: settings_module.Settings) -> Path:
    """Where the first admin key is kept."""
    return settings.home / "admin.key"


def _first_key(own: core.Core, path: Path) -> str | None:
    if path.exists():
        return None
    key = keys.create(own, "default", scopes=("admin",), name="first admin")
    _write_private(path, key.text)
    return key.text


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process of this home at a time."""
    with (home / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(".tmp")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
