"""Log lines of all processes: one line each, with time, level, name and message."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import structlog


def configure(level: str, process: str) -> None:
    """Send all logging of this process through structlog to stderr.

    A terminal gets readable lines, anything else one JSON object a line. What a thread or a
    request is about (`about`) stands in each of its lines.
    """
    import sys

    shared: list[structlog.typing.Processor] = [
        _add(process),
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in (
        "urllib3",
        "botocore",
        "kombu",
        "amqp",
        "celery.worker.strategy",
        "celery.app.trace",
        "celery.beat",
        "markdown_it",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@contextlib.contextmanager
def about(**ids: str) -> Iterator[None]:
    """Within the block, this thread's lines have these fields; empty ones are left out."""
    with structlog.contextvars.bound_contextvars(**{n: v for n, v in ids.items() if v}):
        yield


def _add(process: str) -> structlog.typing.Processor:
    def add(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {"process": process} | dict(event)

    return add
