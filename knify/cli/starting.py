"""Whether this machine's own server is about to come: then a command may wait for it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_KEY_SECONDS: Final = 10.0
_PAUSE: Final = 0.1


def seen() -> str | None:
    """What runs here of an installation, in words; None when nothing does.

    Without the settings, whose reading takes longer than many a command.
    """
    run = _home() / "run"
    if _is_locked(run / "up.lock"):
        return "`knify up` runs, and its server does not answer yet"
    if _lives(run / "api.pid"):
        return "the server's process runs, and does not answer yet"
    return None


def wait_for_key() -> None:
    """Until its first start has written the admin key, or that takes too long, or has ended."""
    end = time.monotonic() + _KEY_SECONDS
    while not (_home() / "admin.key").exists() and time.monotonic() < end and seen():
        time.sleep(_PAUSE)


def _home() -> Path:
    return Path(os.environ.get("KNIFY_HOME") or "~/.knify").expanduser()


def _is_locked(lock: Path) -> bool:
    """Whether a `knify up` holds it. To try it would keep one from starting at this moment."""
    try:
        inode = str(lock.stat().st_ino)
        held = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    rows = (row.split() for row in held)
    return any("FLOCK" in row and any(w.endswith(f":{inode}") for w in row) for row in rows)


def _lives(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True
