"""Podman's own system call filter, for this machine's native programs alone.

The rules stay Podman's. Without the foreign architectures (32-bit programs on x86-64, say) there
is less of the kernel within a job's reach, and each container starts some 25 ms sooner, because
the filter is compiled at every start.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

_PLACES = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"))
_NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def narrowed(profile: dict[str, Any], machine: str) -> dict[str, Any]:
    """The profile with the machine's own architecture only; unchanged when that is not known."""
    native = _NATIVE.get(machine)
    kept = [entry for entry in profile.get("archMap", []) if entry["architecture"] == native]
    if not kept:
        return profile
    return profile | {"archMap": [entry | {"subArchitectures": []} for entry in kept]}


def render() -> str | None:
    """The profile's text; None where Podman has no file and uses what is compiled in."""
    place = next((path for path in _PLACES if path.is_file()), None)
    if place is None:
        return None
    return json.dumps(narrowed(json.loads(place.read_text()), platform.machine()), indent=1)
