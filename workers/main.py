"""`knify worker` and `knify beat`: Celery with the options that fit short tasks."""

from __future__ import annotations

import sys
from typing import Any

from celery import signals

from knify import hints
from workers.app import app, config

# Only a worker loads the node's modules: beat, which only sends, is a third smaller without them.


@signals.celeryd_after_setup.connect
def _serve_node(**_: Any) -> None:
    from workers import node

    node.Node(config).start()


@signals.worker_shutting_down.connect
def _leave_node(**_: Any) -> None:
    from workers import node

    node.current().stop()


def worker() -> None:
    """Work on this node's queues until SIGTERM."""
    queues = f"{hints.ANY_NODE},{hints.node_queue(config.node)}"
    app.worker_main(
        [
            "worker",
            "--include=workers.tasks",
            "--pool=threads",
            f"--concurrency={config.slots + 4}",
            f"--queues={queues}",
            f"--hostname=knify@{config.node}",
            "--without-gossip",
            "--without-mingle",
            "--task-events",
            "--heartbeat-interval=10",  # Celery's own, for Flower; leases have theirs
            "--loglevel=INFO",
        ]
    )


def beat() -> None:
    """Send the sweep on time until SIGTERM."""
    app.start(["beat", "--loglevel=INFO"])


if __name__ == "__main__":
    {"worker": worker, "beat": beat}[sys.argv[1]]()
