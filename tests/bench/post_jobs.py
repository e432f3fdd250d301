"""`python -m tests.bench.post_jobs`: what our layers cost on top of Flask and one script call.

Both applications run in this process, one after the other in short turns, so that a busy machine
slows both alike. Each request goes through the whole WSGI application.
"""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from api import app as app_module
from knify import clock, hints, ids, model, settings
from knify import core as core_module
from knify.core import Core
from knify.lifecycle import SandboxState, State
from knify.services import keys
from tests.parts import redis as redis_server

ROUNDS = 12
REQUESTS = 100  # in one round
BODY = {"spec": {"job_type": "command_task", "command": "echo hello"}, "name": "bench"}


def measure(folder: Path, *, rounds: int = ROUNDS, requests: int = REQUESTS) -> dict[str, float]:
    """Requests per second of `ours` and of a `bare` Flask route, and their `ratio`."""
    server = redis_server.start(folder)
    try:
        environ = {"KNIFY_HOME": str(folder / "home"), "KNIFY_REDIS_URL": server.url}
        core = core_module.connect(settings.load(environ), hints.CeleryHints(server.url))
        ours = _caller(app_module.create_app(core), keys.create(core, "default").text)
        bare = _caller(_bare(core), "none")
        pairs = [(_rate(ours, requests), _rate(bare, requests)) for _ in range(rounds + 1)][1:]
    finally:
        server.stop()
    return {
        "ours": statistics.median(a for a, _ in pairs),
        "bare": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def ratio() -> float:
    """How much of bare Flask's rate is left; prints it."""
    with tempfile.TemporaryDirectory(prefix="knify-bench-") as folder:
        found = measure(Path(folder))
    print(
        f"POST /jobs: {found['ours']:.0f} requests/s, bare Flask with the same script call "
        f"{found['bare']:.0f}, ratio {found['ratio']:.2f}"
    )
    return found["ratio"]


def _caller(application: flask.Flask, key: str) -> Callable[[], None]:
    headers = {"Authorization": f"Bearer {key}"}
    environ = EnvironBuilder("/jobs", method="POST", headers=headers, json=BODY).get_environ()
    sent = environ["wsgi.input"].read()

    def call() -> None:
        fresh = environ | {"wsgi.input": io.BytesIO(sent)}
        body, status, _ = run_wsgi_app(application, fresh, buffered=True)
        assert status == "200 OK", b"".join(body)

    return call


def _rate(call: Callable[[], None], requests: int) -> float:
    start = time.perf_counter()
    for _ in range(requests):
        call()
    return requests / (time.perf_counter() - start)


def _bare(core: Core) -> flask.Flask:
    """The least that could do the same to Redis: no keys, no schema, no checks."""
    application = flask.Flask("bare")

    @application.post("/jobs")
    def submit() -> dict[str, Any]:
        request = json.loads(flask.request.get_data())
        now = clock.now_ms()
        sandbox = model.Sandbox(
            ids.new("sandbox"), "default", SandboxState.CREATING, "i", model.Resources(), now, now
        )
        wanted = model.ExecutionSpec("command_task", command=("sh", "-c", "echo hello"))
        x = model.Execution(
            ids.new("job"), "default", State.PENDING, wanted, request["spec"], now,
            name=request["name"], sandbox_id=sandbox.id,
        )  # fmt: skip
        core.store.executions.submit(x, sandbox)
        return {"job_id": x.id, "status": "pending"}

    return application


if __name__ == "__main__":
    ratio()
