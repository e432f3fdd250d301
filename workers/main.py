"""`knify worker` and `knify beat`: Celery with the options that fit short tasks."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from celery import signals

from knify import errors, hints, logs, tracing
from knify.store import ready
from workers.app import app, config

log = logging.getLogger(__name__)

_OUT_SECONDS = 8.5  # from SIGTERM to the end, whatever runs

# Only a worker loads the node's modules: beat, which only sends, is a third smaller without them.


@signals.celeryd_after_setup.connect
def _serve_node(**_: Any) -> None:
    from workers import node

    tracing.begin("worker")
    try:
        node.Node(config).start()
    except errors.ConfigError as wrong:
        log.error("%s", wrong.message)
        os._exit(2)
    except Exception:
        # Celery goes on after what a receiver raises, and makes exit code 0 of a SystemExit.
        log.exception("this worker cannot serve its node")
        os._exit(1)


@signals.worker_shutting_down.connect
def _leave_node(**_: Any) -> None:
    from workers import node

    # A task may be in a long step, such as unpacking gigabytes, which Celery would wait for. The
    # next owner takes such a step again; who has to be out within ten seconds must not.
    last = threading.Timer(_OUT_SECONDS, os._exit, (0,))
    last.daemon = True
    last.start()
    if node.is_served():
        node.current().stop()
    tracing.flush()


@signals.worker_shutdown.connect
def _send_last(**_: Any) -> None:
    tracing.flush()  # of the steps that ended meanwhile


def worker() -> None:
    """Work on this node's queues until SIGTERM."""
    _wait()
    queues = f"{hints.ANY_NODE},{hints.node_queue(config.node)}"
    app.worker_main(
        [
            "worker",
            "--include=workers.tasks",
            "--pool=threads",
            f"--concurrency={config.slots + 4}",
            f"--queues={queues}",
            # Several workers may share a node; they see each other's pids (`pid: host`).
            f"--hostname=knify@{config.node}.{os.getpid()}",
            "--without-gossip",
            "--without-mingle",
            "--task-events",
            "--heartbeat-interval=10",  # Celery's own, for Flower; leases have theirs
            "--loglevel=INFO",
        ]
    )


def beat() -> None:
    """Send the sweep on time, and make runs of what is due, until SIGTERM."""
    from knify import core
    from workers import scheduler

    _wait()
    tracing.begin("beat")
    scheduler.Scheduler(core.connect(config), config).start()
    try:
        app.start(["beat", "--loglevel=INFO"])
    finally:
        tracing.flush()


def _wait() -> None:
    logs.configure(config.log_level, os.environ.get("KNIFY_PART", "worker"))
    ready.wait(config, log.warning)


if __name__ == "__main__":
    {"worker": worker, "beat": beat}[sys.argv[1]]()
