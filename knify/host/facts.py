"""What a probe found out about this host: the one value that sandbox creation depends on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Measured once by `knify setup`, kept in a file, never guessed at job time."""

    oci_runtime: str  # the runtime that really starts a container here: crun, runc or runsc
    nofile: int  # soft and hard limit of open files that a container may be given
    nproc: int  # the same of processes
    userns_auto: bool  # --userns=auto works: catatonit-like ids and a range are there
    init: bool  # --init works: catatonit is installed
    cgroup_version: int  # 1 (also hybrid) or 2
    memory_limit: bool  # a memory limit is enforced
    pids_limit: bool  # a pids limit is enforced
    cpu_limit: bool  # a CPU share is enforced
    podman_version: str
    kernel: str  # facts are measured anew when one of these two changes

    def save(self, path: Path) -> None:
        """Write as JSON, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(path)


def load(path: Path) -> HostFacts | None:
    """The saved facts, or None when there are none or they are of another form."""
    try:
        return HostFacts(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
