"""What a job's start costs when it begins with a workspace: the node's first, its tenth, and none.

And what a large upload costs the process that takes it.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from knify.client import Client
from tests.bench import fresh
from tests.parts.stack import Stack

FILES, SIZE = 1_000, 100 * 1024**2
ROUNDS = 10
UPLOAD = int(os.environ.get("BENCH_UPLOAD", 1024**3))  # bytes
_PIECE = 1024**2


@dataclass
class Starts:
    """Seconds from POST /jobs until `agent_started`."""

    first: float = 0.0
    later: list[float] = field(default_factory=list)
    none: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """A later one in terms of one without a workspace, by medians."""
        return statistics.median(self.later) / statistics.median(self.none)


@dataclass(frozen=True)
class Transfer:
    """One large upload, and its download."""

    up: float  # seconds
    down: float
    megabytes: float  # by which the process's PSS grew at most
    stall: float  # the longest time, s, that another request took meanwhile
    stall_p50: float


def starts(stack: Stack, folder: Path) -> Starts:
    """Ten jobs of one workspace, one after the other, each beside one without."""
    found = Starts()
    for n in range(FILES):
        file = folder / f"d{n % 50}" / f"f{n}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(os.urandom(SIZE // FILES))
    with stack.client() as client:
        client.upload_workspace(folder, "bench")
        for n in range(ROUNDS):
            found.none.append(_start(client))
            seconds = _start(client, workspace_path="/workspaces/bench")
            if n == 0:
                found.first = seconds
            else:
                found.later.append(seconds)
    return found


def _start(client: Client, **more: str) -> float:
    time.sleep(fresh.CALM)
    began = time.time()
    seen = fresh.until(client, client.create_job(fresh.TRUE | more).job_id, "completed")
    return seen["agent_started"] - began


def transfer(stack: Stack, size: int = UPLOAD) -> Transfer:
    """A file that does not compress, as a tar, while other requests go on."""
    pid = next(p for p, name in stack.processes().items() if name == "api (child)")
    over, waits, grown = threading.Event(), [0.0], [0.0]
    before = _pss(pid)
    key = (stack.home / "admin.key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}

    def others() -> None:
        with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
            while not over.is_set():
                began = time.perf_counter()
                client.get("/workspaces?limit=1").raise_for_status()
                waits.append(time.perf_counter() - began)
                grown.append(_pss(pid) - before)
                time.sleep(0.02)

    other = threading.Thread(target=others)
    other.start()
    with (
        tempfile.TemporaryFile() as file,
        httpx.Client(base_url=stack.url, headers=headers, timeout=1_200) as client,
    ):
        file.writelines(_tar(size))
        file.seek(0)
        began = time.perf_counter()
        made = client.post("/workspaces", files={"workspace": ("w.tar", file)})
        made.raise_for_status()
        up = time.perf_counter() - began
        began, digest = time.perf_counter(), hashlib.sha256()
        with client.stream("GET", f"/workspaces/{made.json()['workspace_id']}/download") as answer:
            for piece in answer.iter_raw(_PIECE):
                digest.update(piece)
        down = time.perf_counter() - began
        assert digest.hexdigest() == made.json()["sha256"]
        over.set()
        other.join()
        client.delete(f"/workspaces/{made.json()['workspace_id']}").raise_for_status()
    return Transfer(up, down, max(grown), max(waits), statistics.median(waits))


def _tar(size: int) -> Iterator[bytes]:
    info = tarfile.TarInfo("random")
    info.size = size
    yield info.tobuf()
    for _ in range(size // _PIECE):
        yield os.urandom(_PIECE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _pss(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024
