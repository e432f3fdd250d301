"""What every start makes sure of: Redis answers, and home and store are one installation.

Any number of processes may come here at once, on any number of machines.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knify import core, errors, hints
from knify import settings as settings_module
from knify.services import keys, powers

log = logging.getLogger(__name__)


def install(settings: settings_module.Settings) -> str | None:
    """Bind home and store to one installation; the text of the first admin key, if made now.

    ConfigError when the store belongs to another installation than the home.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if unfinished(settings).exists():
        raise errors.ConfigError("a restore into this home did not end: repeat it with --replace")
    own = core.connect(settings, hints.RecordedHints())
    with _alone(settings.home):
        wanted = marked(settings)
        found = own.store.registry.installation(wanted)
        if wanted is None:
            _write_private(_marker(settings), found)
        upgraded = own.store.registry.upgrade()
        if upgraded:
            log.info("the store's %d records are of this version's form now", upgraded)
        first = _first_key(own, key_file(settings))
    own.store.client.close()  # the caller may fork
    return first


def unfinished(settings: settings_module.Settings) -> Path:
    """There while a backup is put back, and for ever when that died half-way."""
    return settings.home / "restore.unfinished"


def marked(settings: settings_module.Settings) -> str | None:
    """The installation that this home belongs to; None before the first start."""
    marker = _marker(settings)
    return marker.read_text().strip() if marker.exists() else None


def _marker(settings: settings_module.Settings) -> Path:
    return settings.home / "installation"


def key_file(settings: settings_module.Settings) -> Path:
    """Where the first admin key is kept."""
    return settings.home / "admin.key"


def _first_key(own: core.Core, path: Path) -> str | None:
    if path.exists() and _opens(own, path.read_text().strip()):
        return None
    # Whatever the default tier: nobody could make a key above this one.
    key = keys.create(
        own, powers.OPERATOR, scopes=("admin",), name="first admin", tier="enterprise"
    )
    _write_private(path, key.text)
    return key.text


def _opens(own: core.Core, text: str) -> bool:
    """Whether the key is this store's; one of an older store would lock everybody out."""
    try:
        keys.authenticate(own, text)
    except errors.Unauthorized:
        return False
    return True


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
