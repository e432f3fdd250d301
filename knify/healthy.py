"""Whether one part is well, asked where it runs: `python -m knify.healthy PART`.

For the health checks of compose, Podman, systemd and Kubernetes. It asks nothing of other parts:
a Redis that is away is no reason to start a worker anew.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from knify import errors
from knify import settings as settings_module

_SECONDS: Final = 4.0
_STALE: Final = 60.0  # a worker and beat say six times as often that they live
_FORGOTTEN: Final = 24 * 3600.0  # seconds
_FLOWER: Final = 5555


def note(settings: settings_module.Settings, part: str, installation: str = "") -> None:
    """This part, which works for `installation`, lives: said by itself, several times a minute."""
    mark = _mark(settings, part)
    if not mark.exists():
        _forget_others(mark.parent, part)
    mark.touch(mode=0o600)
    if installation and mark.read_text() != installation:
        mark.write_text(installation)


def check(settings: settings_module.Settings, part: str) -> str | None:
    """What is wrong with it; None when nothing is. ConfigError for a part that is none."""
    if part not in _CHECKS:
        raise errors.ConfigError(f"no part {part!r}: {', '.join(sorted(_CHECKS))}")
    try:
        return _CHECKS[part](settings)
    except OSError as failed:
        return f"{part}: {failed}"


def _api(settings: settings_module.Settings) -> None:
    url = f"http://127.0.0.1:{settings.port}/api/v1/health/live"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(url, timeout=_SECONDS).close()  # what is no success is an OSError


def _gateway(settings: settings_module.Settings) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        client.connect(str(settings.gateway))


def _flower(_: settings_module.Settings) -> None:
    socket.create_connection(("127.0.0.1", _FLOWER), _SECONDS).close()


def _fresh(part: str) -> Callable[[settings_module.Settings], str | None]:
    def check(settings: settings_module.Settings) -> str | None:
        age = time.time() - _mark(settings, part).stat().st_mtime
        return f"{part} has said nothing for {age:.0f} s" if age > _STALE else None

    return check


def _mark(settings: settings_module.Settings, part: str) -> Path:
    # By the container's name, too: the workers of a node may share their home.
    return settings.home / f"{part}-{socket.gethostname()}.alive"


def _forget_others(home: Path, part: str) -> None:
    """Marks of containers that are long gone."""
    for other in home.glob(f"{part}-*.alive"):
        with contextlib.suppress(FileNotFoundError):  # another one forgets it, too
            if time.time() - other.stat().st_mtime > _FORGOTTEN:
                other.unlink()


_CHECKS: Final[dict[str, Callable[[settings_module.Settings], str | None]]] = {
    "api": _api,
    "gateway": _gateway,
    "flower": _flower,
    "worker": _fresh("worker"),
    "beat": _fresh("beat"),
}


PARTS: Final = tuple(sorted(_CHECKS))


def main(argv: list[str]) -> int:
    """The exit code; what is wrong on stderr."""
    try:
        wrong = check(settings_module.load(), argv[0] if argv else "")
    except errors.ConfigError as failed:
        wrong = failed.message
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
