"""A process that does nothing but deliver webhooks, until it dies at its failpoint."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading

from knify import core, deliver, failpoints, hints, post, settings


def died(environ: dict[str, str]) -> int | None:
    """The exit code of one; forked from a process that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_deliver, args=(environ,), daemon=True)
    process.start()
    process.join(60)
    process.kill()
    return process.exitcode


def _deliver(environ: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("KNIFY_")]:
        del os.environ[name]
    os.environ.update(environ)
    importlib.reload(failpoints)
    deliver.Deliverer(core.connect(settings.load(), hints.RecordedHints())).start()
    threading.Event().wait(60)


post._broken()  # what only the first attempt imports
