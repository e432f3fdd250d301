"""The real API on a real Redis, and a worker that ends every job by itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from api import app as app_module
from api import context
from knify import core as core_module
from knify import hints, settings
from knify.lifecycle import State
from knify.services import keys
from tests.api import parts


@contextlib.contextmanager
def serving(core: core_module.Core) -> Iterator[tuple[str, str]]:
    """The API on a free port: its address and an admin key."""
    app = app_module.create_app(core)
    httpd = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        key = keys.create(core, "default", scopes=("admin",)).text
        yield f"http://127.0.0.1:{httpd.server_port}", key
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
        app.extensions[context.HUB].close()


@contextlib.contextmanager
def connected(redis_url: str, home: Path) -> Iterator[core_module.Core]:
    """The core of an installation of its own."""
    config = settings.load({"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": redis_url})
    core = core_module.connect(config, hints.RecordedHints())
    try:
        yield core
    finally:
        core.store.client.close()


@contextlib.contextmanager
def working(core: core_module.Core) -> Iterator[None]:
    """Every job says its command, leaves `hi.txt`, and fails only if its command is `false`."""
    over, worker = threading.Event(), parts.Worker(core)

    def work() -> None:
        while not over.wait(0.02):
            page = core.store.listing.page(
                "default", states=[State.PENDING], metadata={}, offset=0, limit=100
            )
            for x in reversed(page.executions):
                with contextlib.suppress(AssertionError):  # another turn of its sandbox runs
                    _do(worker, x.id)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _do(worker: parts.Worker, job_id: str) -> None:
    x = worker.run(job_id)
    command: Any = x.request.get("command")
    x = worker.lines(x, str(command))
    worker.keep(job_id, {"hi.txt": b"hi\n"})
    worker.finish(x, State.FAILED if command == "false" else State.COMPLETED)
