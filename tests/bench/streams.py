"""`python -m tests.bench.streams`: a thousand clients follow jobs in one API process.

The lines carry the moment at which they were stored; one process writes them, another one reads
all sockets. Both clocks are the host's.
"""

from __future__ import annotations

import multiprocessing
import re
import selectors
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knify import core as core_module
from knify import hints, manifest, settings
from knify.ids import new as new_id
from knify.services import tasks
from tests.api import running
from tests.api.parts import MANIFEST, Worker
from tests.bench import idle
from tests.parts import redis as redis_server

SHAPES = [(100, 10), (10, 100), (1, 1000)]  # jobs, clients of each
RATE = 100  # lines a second, of all jobs together
SECONDS = 10.0
_MOMENT = re.compile(rb'"line":"at ([0-9.]+) "')


@dataclass(frozen=True)
class Way:
    """How clients follow."""

    path: str  # with {}: the id
    head: str  # more lines of the request's head
    begun: bytes  # what an answer holds once its client follows
    end: bytes  # of what is sent as one


SSE = Way("/jobs/{}/output/stream?raw=1", "", b": stream", b"\n\n")
WEBSOCKET = Way(
    "/api/v1/tasks/stream?task_id={}",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"\r\n\r\n",
    b"}",
)


def _core(url: str, home: Path) -> Any:
    environ = {"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": url}
    return core_module.connect(settings.load(environ), hints.RecordedHints())


def _write(url: str, home: Path, ids: list[str], seconds: float) -> None:
    """Lines at an even pace, to all jobs in turns."""
    worker = Worker(_core(url, home))
    found = {name: worker.core.store.executions.find(name) for name in ids}
    begun = time.monotonic()
    for n in range(int(seconds * RATE)):
        time.sleep(max(0.0, begun + n / RATE - time.monotonic()))
        name = ids[n % len(ids)]
        found[name] = worker.lines(found[name], f"at {time.time():.6f} ")


def _follow(
    address: tuple[str, int], key: str, paths: list[str], seconds: float, answer: Any, way: Way
) -> None:
    """All clients in one loop; delays of all lines that they got."""
    found: list[float] = []
    chosen = selectors.DefaultSelector()
    for path in paths:
        client = socket.create_connection(address)
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n{way.head}\r\n"
        client.sendall(head.encode())
        chosen.register(client, selectors.EVENT_READ)
    for one in list(chosen.get_map().values()):  # all at once, then each until it follows
        client, got = one.fileobj, b""  # type: ignore[assignment]
        while way.begun not in got:
            piece = client.recv(65536)
            assert piece, got
            got += piece
        client.setblocking(False)
    answer.put("connected")
    end, rest = time.monotonic() + seconds, dict[int, bytes]()
    while time.monotonic() < end:
        for one, _ in chosen.select(0.1):
            data = rest.get(one.fd, b"") + one.fileobj.recv(65536)  # type: ignore[union-attr]
            now = time.time()
            whole, _, rest[one.fd] = data.rpartition(way.end)
            found += [now - float(moment) for moment in _MOMENT.findall(whole)]
    answer.put(found)


def measure(
    shape: tuple[int, int], *, seconds: float = SECONDS, way: Way = SSE
) -> dict[str, float]:
    """Quantiles of the delay from storing a line until a client has it, and what the API costs."""
    many, each = shape
    with tempfile.TemporaryDirectory(prefix="ks-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        redis = redis_server.start(Path(folder))
        try:
            with running.server(home, redis.url) as api:
                return _measured(api, redis.url, home, many, each, seconds, way)
        finally:
            redis.stop()


def _measured(
    api: running.Running, url: str, home: Path, many: int, each: int, seconds: float, way: Way
) -> dict[str, float]:
    worker = Worker(api.core)
    ids = []
    for _ in range(many):
        ids.append(
            tasks.submit(api.core, "default", manifest.read(MANIFEST), new=new_id("task")).id
        )
        worker.run(ids[-1])
    paths = [way.path.format(name) for name in ids for _ in range(each)]
    answer: Any = multiprocessing.Queue()
    port = int(api.url.rpartition(":")[2])
    key = api.client.headers["Authorization"]
    arguments = (("127.0.0.1", port), key, paths, seconds + 4, answer, way)
    reader = multiprocessing.Process(target=_follow, args=arguments)
    reader.start()
    answer.get()
    time.sleep(1)
    pid = _child(api.process.pid)
    before = idle.cpu_seconds(pid)
    _write(url, home, ids, seconds)
    cpu = (idle.cpu_seconds(pid) - before) / seconds
    memory = idle.megabytes(pid)
    found = sorted(answer.get())
    reader.join()
    return {
        "lines": len(found) / (seconds * RATE * each),
        "p50": found[len(found) // 2] * 1000,
        "p99": found[int(len(found) * 0.99)] * 1000,
        "cpu": cpu * 100,
        "megabytes": memory,
    }


def _child(pid: int) -> int:
    """gunicorn's worker."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def main(arguments: list[str]) -> None:
    """Print what was measured."""
    for many, each in SHAPES:
        _print(f"{many} jobs of {each} clients", measure((many, each)))
    for name, way in (("events", SSE), ("WebSockets", WEBSOCKET)):
        _print(f"1 task of 200 {name}", measure((1, 200), way=way))


def _print(what: str, found: dict[str, float]) -> None:
    print(f"{what}: " + ", ".join(f"{k} {v:.2f}" for k, v in found.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
