"""Simulated nodes in one process: Celery's own worker, and all that a node has but Podman.

`python -m tests.bench.simulation.nodes FIRST COUNT`: nodes `sim-FIRST`… of the installation that
the environment names. Each has its own leases, watcher, heartbeat and queue.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from celery import signals

from knify import deliver, hints, sweep
from knify.sandbox import base, fake, fakehost, inventory
from workers import node
from workers.app import app, config

IMAGE: Final = "localhost/simulated:latest"
COMMAND: Final = ("simulated",)
_served: dict[str, node.Node] = {}
_turns = itertools.cycle(range(10**9))


def name(number: int) -> str:
    """Of a node."""
    return f"sim-{number}"


def _of(queue: str) -> node.Node:
    """Whose queue it is; any of them for the common one, as if each had a process."""
    own = queue.removeprefix(f"{hints.ANY_NODE}.node.")
    if own in _served:
        return _served[own]
    names = list(_served)
    return _served[names[next(_turns) % len(names)]]


@app.task(name=hints.ADVANCE, bind=True)
def advance(self: Any, execution_id: str) -> None:
    """See `workers.tasks`."""
    _of(self.request.delivery_info["routing_key"]).runner.advance(execution_id)


@app.task(name=hints.REMOVE, bind=True)
def remove(self: Any, sandbox_id: str) -> None:
    """See `workers.tasks`."""
    _of(self.request.delivery_info["routing_key"]).remove(sandbox_id)


@app.task(name=hints.SWEEP)
def sweep_all() -> None:
    """See `workers.tasks`."""
    sweep.sweep(_of("").core)


def _driver(*_: Any) -> base.Driver:
    host = fakehost.FakeHost()
    host.add_image(base.ImageInfo(IMAGE, "i" * 64, "sha256:" + "i" * 64, cmd=COMMAND))
    host.script(COMMAND, fakehost.Script(steps=[(0.0, base.Stream.OUT, b"a line of output\n")]))
    return fake.FakeDriver(host)


def _serve(first: int, count: int) -> None:
    for number in range(first, first + count):
        home = config.home / "nodes" / name(number)
        home.mkdir(parents=True, exist_ok=True)
        for shared in ("installation", "master.key"):
            if not (home / shared).exists():
                (home / shared).symlink_to(config.home / shared)
        own = dataclasses.replace(config, node=name(number), home=home)
        _served[own.node] = node.Node(own, _driver)
        _served[own.node].start()


def main(first: int, count: int) -> None:
    """Until SIGTERM."""
    # 200 nodes share two cores here: what each does without jobs, it does less often.
    node._HEARTBEAT_SECONDS, node._MEASURE_SECONDS = 25.0, 60.0
    deliver.Deliverer.start = lambda self: None  # type: ignore[method-assign]
    inventory.storage = lambda podman: (Path(tempfile.gettempdir()),)  # type: ignore[assignment]
    signals.celeryd_after_setup.connect(lambda **_: _serve(first, count), weak=False)
    queues = [hints.ANY_NODE, *(hints.node_queue(name(n)) for n in range(first, first + count))]
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            "--concurrency=16",
            f"--queues={','.join(queues)}",
            f"--hostname=sim@{first}.{os.getpid()}",
            "--without-gossip",
            "--without-mingle",
            "--task-events",
            "--heartbeat-interval=10",
            "--loglevel=WARNING",
        ]
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
