"""`python -m tests.bench.simulation [STOCK…]`: what a job costs, whatever the number of jobs.

A real Redis, real Celery, 200 nodes with all that a node has but Podman (`nodes.py`). The store is
filled up to each STOCK of ended jobs (default 1000 10000; as packing leaves them, `parts/fill.py`),
then a window of jobs is run from submission to packing, and its cost is told. `--nodes`,
`--window`, `--folder` (kept, and gone on with: what is filled stays), `--out` (a JSON line for each
window).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import redis

from knify import core as core_module
from knify import hints, ids, install, settings
from knify.core import Core
from knify.services import jobs
from knify.store import keys
from tests.bench.simulation import measure, nodes
from tests.parts import fill
from tests.parts import redis as redis_part

T = TypeVar("T")
_PROCESSES = 4
_AT_ONCE = 400  # jobs under way
_HEARD = 100  # jobs whose commands are counted one by one
_SECONDS = 3_600.0  # that a window may take
_IDLE = 12.0  # seconds in which it is measured what nodes do without jobs
_SETTINGS = {
    "KNIFY_BASE_IMAGE": nodes.IMAGE,
    "KNIFY_SLOTS": "8",
    "KNIFY_NODE_CPUS": "64",
    "KNIFY_NODE_MEMORY": "256G",
    "KNIFY_NODE_DISK": "4T",
    "KNIFY_DISK_RESERVE": "0",
    "KNIFY_PACK_SECONDS": "1",
    "KNIFY_PAUSED": "100000",
    "KNIFY_ARCHIVE_HOURS": "0",
    "KNIFY_LEASE_SECONDS": "60",
    "KNIFY_LOG_LEVEL": "warning",
}


@dataclass
class Simulation:
    """The installation and its processes."""

    core: Core
    workers: list[int]
    redis: redis_part.Server

    def submit(self, count: int) -> None:
        """So many jobs of one line each."""
        for n in range(count):
            request: dict[str, Any] = {"job_type": "command_task"}
            request["command"] = list(nodes.COMMAND)
            request |= {"metadata": {"n": n % 7}}
            one = jobs.Submission(request, idempotency_key=ids.new("i"))
            _patiently(functools.partial(jobs.submit, self.core, fill.TENANT, one))

    def run(self, count: int, at_once: int = _AT_ONCE) -> None:
        """Submit them, so many at a time, and wait until all are packed."""
        client, deadline = self.core.store.client, time.monotonic() + _SECONDS
        left = count
        while True:
            due, ended = _patiently(lambda: (client.zcard(keys.DUE), client.zcard(keys.ENDED)))
            if not (left or due or ended):
                return
            assert time.monotonic() < deadline, "too slow"
            room = min(left, at_once - due)
            self.submit(max(0, room))
            left -= max(0, room)
            time.sleep(0.5)

    @property
    def bytes(self) -> int:
        """That Redis has allocated."""
        client = self.core.store.client
        return int(_patiently(lambda: client.info("memory"))["used_memory"])

    def moment(self) -> measure.Moment:
        """What was used so far."""
        return _patiently(lambda: measure.Moment.now(self.core.store.client, self.workers))


@contextmanager
def running(folder: Path, count: int) -> Iterator[Simulation]:
    """Redis, beat and the nodes' processes; `folder` may hold the store of an earlier run."""
    server = redis_part.start(folder, aof=True)
    environ = {k: v for k, v in _environ(folder, server).items() if not k.startswith("_")}
    config = settings.load(environ)
    install.install(config)
    core = core_module.connect(config, hints.CeleryHints(server.url))
    each = -(-count // _PROCESSES)
    commands = [
        ["tests.bench.simulation.nodes", str(first), str(min(each, count - first))]
        for first in range(0, count, each)
    ]
    log = (folder / "log").open("ab")
    processes = [
        subprocess.Popen([sys.executable, "-m", *command], env=environ, stdout=log, stderr=log)
        for command in [*commands, ["workers.main", "beat"]]
    ]
    try:
        deadline = time.monotonic() + 900
        while _patiently(lambda: len(core.store.registry.nodes())) < count:
            assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
            time.sleep(1)
        yield Simulation(core, [process.pid for process in processes[:-1]], server)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _end(process)
        server.process.terminate()
        _end(server.process)
        log.close()


def window(simulation: Simulation, count: int) -> dict[str, Any]:
    """The cost of one of `count` jobs, from submission to packing, less what idle nodes cost."""
    began = simulation.moment()
    time.sleep(_IDLE)
    idle = simulation.moment() - began
    before = simulation.moment()
    simulation.run(count)
    used = simulation.moment() - before
    share = used.at / idle.at
    return {
        "jobs": count,
        "seconds": round(used.at, 1),
        "jobs_per_second": round(count / used.at, 1),
        "redis_cpu_ms": _each(used.redis_cpu - idle.redis_cpu * share, count, 1000),
        "workers_cpu_ms": _each(used.workers_cpu - idle.workers_cpu * share, count, 1000),
        "commands": _each(used.calls - idle.calls * share, count),
        "idle_redis_percent": round(100 * idle.redis_cpu / idle.at, 1),
        "idle_commands_per_second": round(idle.calls / idle.at),
    }


def heard(simulation: Simulation, at_once: int) -> dict[str, Any]:
    """The commands of one job: those that clients sent, and those that scripts made of them.

    A job that waits for a slot costs more: it is looked at again.
    """
    with measure.listening(simulation.redis.url) as idle:
        began = time.monotonic()
        time.sleep(_IDLE)
        seconds = time.monotonic() - began
    with measure.listening(simulation.redis.url) as busy:
        began = time.monotonic()
        simulation.run(_HEARD, at_once)
        share = (time.monotonic() - began) / seconds
    busy.clients.pop("ZCARD", None)  # our own looks at whether it is over
    sent = {k: (n - idle.clients[k] * share) / _HEARD for k, n in busy.clients.items()}
    made = sum(busy.scripts.values()) - sum(idle.scripts.values()) * share
    top = sorted(sent.items(), key=lambda pair: -pair[1])
    return {
        "sent": round(sum(sent.values()), 1),
        "by_scripts": round(made / _HEARD, 1),
        "sent_by_command": {name: round(n, 2) for name, n in top if n > 0.05},
    }


def main(arguments: list[str]) -> int:
    """Measure at each stock, and say it."""
    read = argparse.ArgumentParser(prog="python -m tests.bench.simulation")
    read.add_argument("stocks", nargs="*", type=int, default=[1_000, 10_000])
    read.add_argument("--nodes", type=int, default=200)
    read.add_argument("--window", type=int, default=1_000)
    read.add_argument("--commands", action="store_true", help="count those of a job; few nodes")
    read.add_argument("--folder", type=Path)
    read.add_argument("--out", type=Path)
    asked = read.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ks-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with running(folder, asked.nodes) as simulation:
            simulation.run(50)  # what is loaded once
            if asked.commands:
                _tell(asked.out, {"a_job": heard(simulation, 2 * asked.nodes)})
                _tell(asked.out, {"one_that_waits": heard(simulation, _AT_ONCE)})
            filled = fill.Store(simulation.core)
            for stock in asked.stocks:
                have, bytes_ = fill.listed(simulation.core), simulation.bytes
                filled.made = have
                if stock > have:
                    filled.of_kinds(stock - have, _kind)
                grown = simulation.bytes - bytes_
                row = {"stock": stock, "bytes_each": grown // max(1, stock - have)}
                _tell(asked.out, row | window(simulation, asked.window))
    return 0


def _kind(n: int) -> tuple[str, str, dict[str, Any]]:
    """What ended jobs there are."""
    return ("failed" if n % 10 == 0 else "completed"), "command_task", {"n": n % 7}


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tell(out: Path | None, row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)
    if out:
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _patiently(call: Callable[[], T]) -> T:
    """A machine that is this busy lets one wait."""
    deadline = time.monotonic() + 600
    while True:
        try:
            return call()
        except redis.RedisError:
            assert time.monotonic() < deadline, "Redis does not answer"
            time.sleep(1)


def _each(amount: float, count: int, times: int = 1) -> float:
    return round(amount * times / count, 2)


def _environ(folder: Path, server: redis_part.Server) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")}
    return kept | _SETTINGS | {"KNIFY_HOME": str(folder / "h"), "KNIFY_REDIS_URL": server.url}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
