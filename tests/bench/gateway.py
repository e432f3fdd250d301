"""What the gateway adds to a streamed model call, and what a thousand tunnels take.

Sandboxes are processes in network namespaces of their own; the gateway is the real process. The
floor is the same call straight to the stub of the vendor, in turns with those through the gateway.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knify import core as core_module
from knify import hints, settings
from knify.gateway import client as gateway_client
from knify.gateway.policy import Policy
from knify.services import jobs
from tests.bench.idle import megabytes
from tests.parts import apart
from tests.parts import redis as redis_part

ROUNDS = 10
CALLS = 20  # in a round, each way
TUNNELS = 1_000
SANDBOXES = 4

#: Streamed calls over one kept connection; prints the seconds that each took.
_CALL = """
import http.client, json, sys, time
host, port, path, n = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
body = json.dumps({"model": "claude-x", "stream": True, "max_tokens": 9,
    "messages": [{"role": "user", "content": "SAY " + "word " * 400}]})
line = http.client.HTTPConnection(host, port, timeout=30)
took = []
for _ in range(n + 2):
    begun = time.perf_counter()
    line.request("POST", path, body, {"content-type": "application/json"})
    answer = line.getresponse()
    assert answer.status == 200, answer.read()
    while answer.read1(65536):
        pass
    took.append(time.perf_counter() - begun)
print(json.dumps(took[2:]))
"""
#: Opens tunnels, says a word through each, and holds them until its input ends.
_TUNNELS = """
import socket, sys
held = []
for _ in range(int(sys.argv[1])):
    line = socket.create_connection(("127.0.0.1", 8119), timeout=30)
    line.sendall(b"CONNECT echo.test:443 HTTP/1.1\\r\\nHost: echo.test:443\\r\\n\\r\\n")
    said = b""
    while not said.endswith(b"\\r\\n\\r\\n"):
        said += line.recv(1000)
    assert b" 200 " in said, said
    line.sendall(b"x" * 1000)
    got = 0
    while got < 1000:
        got += len(line.recv(1000))
    held.append(line)
print("held", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Found:
    """What was measured."""

    direct: list[float]  # seconds of a streamed call
    through: list[float]
    idle_megabytes: float  # PSS of the gateway
    megabytes: float  # with TUNNELS open

    @property
    def added_ms(self) -> float:
        """At the median."""
        return (statistics.median(self.through) - statistics.median(self.direct)) * 1000


def measure() -> Found:
    """Half a minute."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="kb-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        redis = redis_part.start(folder)
        stack.callback(redis.stop)
        vendor = stack.enter_context(_vendor())
        echo = stack.enter_context(_echo())
        pids = [stack.enter_context(apart.namespace()) for _ in range(SANDBOXES)]
        gateway = stack.enter_context(_gateway(folder, redis.url, vendor, echo))
        _open(folder, redis.url, pids)
        direct, through = list[float](), list[float]()
        for _ in range(ROUNDS):
            direct += _calls(["127.0.0.1", str(vendor), "/v1/messages"])
            through += _calls(["127.0.0.1", "8119", "/anthropic/v1/messages"], pids[0])
        idle = megabytes(gateway)
        with ExitStack() as tunnels:
            for pid in pids:
                tunnels.enter_context(_tunnels(pid, TUNNELS // SANDBOXES))
            return Found(direct, through, idle, megabytes(gateway))


def _calls(where: list[str], pid: int | None = None) -> list[float]:
    argv = [*_inside(pid), sys.executable, "-c", _CALL, *where, str(CALLS)]
    done = subprocess.run(argv, check=True, capture_output=True)
    return list(json.loads(done.stdout))


def _inside(pid: int | None) -> list[str]:
    return [] if pid is None else ["nsenter", "-t", str(pid), "-n"]


@contextmanager
def _tunnels(pid: int, n: int) -> Iterator[None]:
    argv = [*_inside(pid), sys.executable, "-c", _TUNNELS, str(n)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        process.communicate()


@contextmanager
def _vendor() -> Iterator[int]:
    """The stub, in a process of its own; its port."""
    script = (
        "import sys\nfrom tests.parts import model_server\n"
        "with model_server.running() as m:\n    print(m.port, flush=True)\n    sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate()


@contextmanager
def _echo() -> Iterator[int]:
    """A server that says again what it hears; its port."""
    loop, ports, ready = asyncio.new_event_loop(), list[int](), threading.Event()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(met, "127.0.0.1", 0, backlog=1024)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(serve(), loop)
    assert ready.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)


def _environ(folder: Path, redis_url: str) -> dict[str, str]:
    return {"KNIFY_HOME": str(folder / "h"), "KNIFY_REDIS_URL": redis_url, "KNIFY_NODE": "b"}


@contextmanager
def _gateway(folder: Path, redis_url: str, vendor: int, echo: int) -> Iterator[int]:
    env = os.environ | _environ(folder, redis_url)
    env |= {"KNIFY_ANTHROPIC_BASE_URL": f"http://127.0.0.1:{vendor}", "ANTHROPIC_API_KEY": "k"}
    env |= {"KNIFY_EGRESS_HOSTS": f"echo.test=127.0.0.1:{echo}", "KNIFY_LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "knify.gateway.main"], env=env)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _open(folder: Path, redis_url: str, pids: list[int]) -> None:
    environ = _environ(folder, redis_url)
    core = core_module.connect(settings.load(environ), hints.RecordedHints())
    control = gateway_client.Client(core.settings.gateway)
    policy = Policy("outbound", ("echo.test",), ("anthropic",))
    for pid in pids:
        request: dict[str, Any] = {"job_type": "command_task", "command": "x"}
        x = jobs.submit(core, "default", jobs.Submission(request)).execution
        assert x is not None
        sandbox = x.sandbox_id or ""
        control.open(
            execution=x.id, sandbox=sandbox, tenant="default", pid=pid, policy=policy, seconds=20
        )
    core.store.client.close()


if __name__ == "__main__":
    found = measure()
    for name, took in (("direct", found.direct), ("through", found.through)):
        print(f"{name}: p50 {statistics.median(took) * 1000:.2f} ms of {len(took)} calls")
    print(f"added {found.added_ms:.2f} ms at the median")
    print(f"{found.idle_megabytes:.0f} MB; with {TUNNELS} tunnels {found.megabytes:.0f} MB")
