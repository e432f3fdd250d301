"""A primary, replicas and Sentinels: real processes on free ports of loopback.

`running(folder)` gives them; `kill_primary` is what a failover begins with.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis import sentinel

from tests.parts import redis as redis_part

NAME = "main"
_DOWN_MS = 1_500  # until a silent primary is given up
_SECONDS = 30.0


@dataclass
class Sentinels:
    """What runs."""

    ports: tuple[int, ...]
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    watchers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As `KNIFY_REDIS_URL` has it."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{NAME}"

    def primary(self) -> int:
        """Its port, as the Sentinels say. redis.ConnectionError."""
        hosts = [("127.0.0.1", port) for port in self.ports]
        port = sentinel.Sentinel(hosts, socket_timeout=1).discover_master(NAME)[1]
        return int(port)

    def client(self) -> redis.Redis:
        """On the primary of now."""
        return redis.Redis(port=self.primary(), decode_responses=True)

    def kill_primary(self) -> int:
        """kill -9; its port."""
        port = self.primary()
        self.servers[port].kill()
        self.servers[port].wait()
        return port

    def wait_for_another(self, old: int) -> float:
        """Until Sentinels name another one that takes writes; how many seconds that took."""
        began = time.monotonic()
        while True:
            with contextlib.suppress(redis.RedisError):
                if self.primary() != old and self.client().set("probe", "1"):
                    return time.monotonic() - began
            assert time.monotonic() < began + _SECONDS, "no failover"
            time.sleep(0.05)


@contextmanager
def running(folder: Path, *, replicas: int = 2) -> Iterator[Sentinels]:
    """A primary with its replicas, all in step, and three Sentinels that know them."""
    free = free_ports(1 + replicas + 3)
    servers, watchers = free[: 1 + replicas], free[1 + replicas :]
    made = Sentinels(tuple(watchers))
    try:
        for port in servers:
            made.servers[port] = _server(folder, port, servers[0])
        for port in watchers:
            made.watchers.append(_watcher(folder, port, servers[0]))
        _wait(made, servers[0], replicas)
        yield made
    finally:
        for process in [*made.watchers, *made.servers.values()]:
            process.kill()
            process.wait()


def _server(folder: Path, port: int, primary: int) -> subprocess.Popen[bytes]:
    home = folder / str(port)
    home.mkdir()
    more = [] if port == primary else ["--replicaof", "127.0.0.1", str(primary)]
    options = ["--port", str(port), "--dir", str(home), "--save", "", "--appendonly", "yes"]
    options += ["--repl-diskless-sync-delay", "0", "--bind", "127.0.0.1"]
    return _start([redis_part.binary(), *options, *more], home / "log")


def _watcher(folder: Path, port: int, primary: int) -> subprocess.Popen[bytes]:
    conf = folder / f"sentinel-{port}.conf"
    conf.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {NAME} 127.0.0.1 {primary} 2\n"
        f"sentinel down-after-milliseconds {NAME} {_DOWN_MS}\n"
        f"sentinel failover-timeout {NAME} 6000\n"
    )
    argv = [redis_part.binary(), str(conf), "--sentinel"]
    return _start(argv, folder / f"sentinel-{port}.log")


def _start(argv: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(argv, stdout=file, stderr=file)


def _wait(made: Sentinels, primary: int, replicas: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(redis.RedisError):
            said = redis.Redis(port=primary).info("replication")
            in_step = [said.get(f"slave{n}", {}).get("state") == "online" for n in range(replicas)]
            known = [
                row["num-slaves"] == replicas and row["num-other-sentinels"] == 2
                for row in map(_known, made.ports)
            ]
            if all(in_step) and all(known):
                return
        assert time.monotonic() < deadline, "the Sentinels do not find each other"
        time.sleep(0.1)


def _known(port: int) -> dict[str, int]:
    row = redis.Redis(port=port).sentinel_master(NAME)
    return {name: int(row[name]) for name in ("num-slaves", "num-other-sentinels")}


def free_ports(count: int) -> list[int]:
    """Of loopback, that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
