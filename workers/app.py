"""The Celery application of the workers and of beat. Run by `knify worker` and `knify beat`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, signals

from knify import hints, logs, settings

config = settings.load()
app = Celery("knify")
hints.configure(app, config.redis)
app.conf.update(
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,  # who may look by Flower does not end a worker through it
    worker_cancel_long_running_tasks_on_connection_loss=False,
    beat_scheduler="celery.beat:Scheduler",
    beat_max_loop_interval=60,
    beat_schedule={
        "sweep": {
            "task": hints.SWEEP,
            "schedule": config.sweep_seconds,
            "options": {"expires": config.sweep_seconds * 2, "queue": hints.ANY_NODE},
        }
    },
)


@signals.setup_logging.connect
def _own_logging(**_: Any) -> None:
    """Keep Celery from setting up logging of its own."""
    logs.configure(config.log_level, os.environ.get("KNIFY_PART", "celery"))
