"""What a container has used, as the kernel counts it: its cgroup's own files, version 1 or 2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knify.sandbox import hostfs


@dataclass(frozen=True, slots=True)
class Spent:
    """What all processes of a container have used."""

    cpu_ns: int  # since it was started
    memory: int  # bytes at this moment, without files' pages that nobody uses


def read(pid: int, container: str) -> Spent | None:
    """Of the container whose init this is; None when it is gone, or its files are not there."""
    if not hostfs.alive(pid, container):
        return None
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        return _first_version(groups) or _second_version(groups)
    except (OSError, ValueError, KeyError):
        return None


def _first_version(groups: list[str]) -> Spent | None:
    paths = {
        name: Path(name) / path.lstrip("/")
        for _, controllers, path in (line.split(":", 2) for line in groups)
        for name in controllers.split(",")
    }
    if "cpuacct" not in paths or "memory" not in paths:
        return None
    cpu = int(hostfs.cgroup_file(paths["cpuacct"] / "cpuacct.usage"))
    used = int(hostfs.cgroup_file(paths["memory"] / "memory.usage_in_bytes"))
    stat = _numbers(hostfs.cgroup_file(paths["memory"] / "memory.stat"))
    return Spent(cpu, max(0, used - stat["total_inactive_file"]))


def _second_version(groups: list[str]) -> Spent | None:
    found = [line.split(":", 2)[2].lstrip("/") for line in groups if line.startswith("0::")]
    if not found:
        return None
    here = Path(found[0])
    cpu = _numbers(hostfs.cgroup_file(here / "cpu.stat"))["usage_usec"]
    used = int(hostfs.cgroup_file(here / "memory.current"))
    stat = _numbers(hostfs.cgroup_file(here / "memory.stat"))
    return Spent(cpu * 1000, max(0, used - stat["inactive_file"]))


def _numbers(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}
