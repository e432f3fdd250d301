"""What a window of jobs costs: CPU of Redis and of the workers, commands, bytes."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """What has been used by now."""

    at: float  # monotonic seconds
    redis_cpu: float  # seconds
    workers_cpu: float  # seconds
    calls: int  # commands that Redis carried out, those of scripts too

    @classmethod
    def now(cls, client: Any, workers: list[int]) -> Moment:
        """`workers`: process ids."""
        said, stats = client.info("cpu"), client.info("commandstats")
        cpu = float(said["used_cpu_sys"]) + float(said["used_cpu_user"])
        calls = sum(row["calls"] for row in stats.values())
        return cls(time.monotonic(), cpu, sum(map(_cpu, workers)), calls)

    def __sub__(self, before: Moment) -> Moment:
        """What was used since then."""
        return Moment(
            self.at - before.at,
            self.redis_cpu - before.redis_cpu,
            self.workers_cpu - before.workers_cpu,
            self.calls - before.calls,
        )


@dataclass
class Heard:
    """Commands by who sent them: clients, one round trip or a part of one; or scripts."""

    clients: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)


@contextmanager
def listening(url: str) -> Iterator[Heard]:
    """All commands until the block ends, by MONITOR: it costs Redis too much for large windows."""
    heard, ended = Heard(), threading.Event()
    client = redis.Redis.from_url(url, socket_timeout=2)

    def listen() -> None:
        with client.monitor() as monitor:
            ready.set()
            while not ended.is_set():
                try:
                    one = monitor.next_command()
                except redis.TimeoutError:
                    continue
                into = heard.scripts if one["client_type"] == "lua" else heard.clients
                into[one["command"].split()[0].upper()] += 1

    ready = threading.Event()
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield heard
    finally:
        ended.set()
        client.ping()
        thread.join(10)


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
