from __future__ import annotations

import signal
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flask
import pytest

from api import app as app_module
from api.health import probe
from knify import __version__, clock, errors, hints, settings
from knify import core as core_module
from knify.core import Core
from tests.api.parts import COMMAND, Api
from tests.parts import redis as redis_part

WEBHOOK = {"url": "https://hooks.example.com/", "events": ["job.completed"]}


def test_the_root_says_that_it_works(app: flask.Flask) -> None:
    answer = app.test_client().get("/")

    assert answer.get_json() == {"status": "ok", "version": __version__}
    for path in ("/api/health", "/api/v1/health", "/api/v1/health/live"):
        assert app.test_client().get(path).status_code == 200


def test_ready_means_that_jobs_can_run(app: flask.Flask, core: Core) -> None:
    ask = app.test_client().get
    without = ask("/api/v1/health/ready")
    core.store.registry.heartbeat("n1", {"podman": "no answer"}, clock.now_ms())
    without_podman = ask("/api/v1/health/ready")
    core.store.registry.heartbeat("n1", {"podman": "ok", "images": []}, clock.now_ms())

    assert without.status_code == without_podman.status_code == 503
    assert without.get_json()["code"] == "NOT_READY"
    assert "no worker" in without.get_json()["error"]
    assert "podman" in without_podman.get_json()["error"]
    assert ask("/api/v1/health/ready").get_json()["status"] == "ok"


def test_a_lost_object_store_is_said_and_jobs_can_still_be_looked_at(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = api.submit()
    api.post(f"/jobs/{job_id}/cancel")

    def away(*_: Any, **__: Any) -> None:
        raise errors.ObjectStoreError("the object store is away")

    monkeypatch.setattr(type(core.objects), "check", away)
    monkeypatch.setattr(type(core.objects), "open", away)

    assert "object_store: does not answer" in api.get("/api/v1/health/ready").get_json()["error"]
    assert api.get(f"/jobs/{job_id}").get_json()["status"] == "cancelled"
    answer = api.get(f"/jobs/{job_id}/artifacts")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_the_object_store_is_asked_every_two_seconds_at_most(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    now = [100.0]

    def away() -> None:
        asked.append(now[0])
        time.sleep(0.05)  # the others come meanwhile
        raise errors.ObjectStoreError

    monkeypatch.setattr(core.objects, "check", away, raising=False)
    monkeypatch.setattr(probe, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    seen = probe.Probe(core.objects)

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda _: seen.look(), range(64)))
    now[0] += probe.SECONDS / 2
    seen.look()
    now[0] += probe.SECONDS / 2
    seen.look()

    assert said == ["does not answer"] * 64
    assert asked == [100.0, 102.0]


def test_while_redis_is_away_every_answer_is_503_within_two_seconds(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = redis_part.start(tmp_path_factory.mktemp("k"))
    environ = {"KNIFY_HOME": str(tmp_path), "KNIFY_REDIS_URL": server.url}
    core = core_module.connect(settings.load(environ), hints.RecordedHints())
    api = Api(app_module.create_app(core, no_auth=True).test_client(), "")
    api.submit()
    calls = [("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/jobs/x"), ("GET", "/jobs/x/output")]

    def check(*, frozen: bool) -> None:
        for method, path in calls:
            start = time.monotonic()
            body = {"json": {"spec": COMMAND}} if method == "POST" else {}
            answer = api.request(method, path, **body)
            assert (answer.status_code, answer.get_json()["code"]) == (503, "STORE_UNAVAILABLE")
            assert answer.headers["Retry-After"]
            assert time.monotonic() - start < 6, (frozen, path)  # two, where nothing else runs
        ready = api.get("/api/v1/health/ready")
        assert ready.get_json()["detail"]["redis"] == "does not answer"

    server.process.send_signal(signal.SIGSTOP)
    try:
        check(frozen=True)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert api.get("/jobs").status_code == 200
    server.stop()
    check(frozen=False)


def test_while_redis_is_full_nothing_is_taken_and_all_can_be_read(
    api: Api, core: Core, redis_server: redis_part.Server
) -> None:
    job_id, ended = api.submit(), api.submit()
    api.post(f"/jobs/{ended}/cancel")
    core.store.registry.heartbeat("n1", {"podman": "ok", "images": []}, clock.now_ms())
    server = redis_server.client()
    server.config_set("maxmemory", 1024)
    try:
        refused = [api.post("/jobs", {"spec": COMMAND}), api.post("/webhooks", WEBHOOK)]
        read = [api.get(path) for path in ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/output")]
        ready = api.get("/api/v1/health/ready")
        figures = api.get("/metrics").text
        deleted = api.request("DELETE", f"/jobs/{ended}")
    finally:
        server.config_set("maxmemory", 0)

    for answer in refused:
        assert (answer.status_code, answer.get_json()["code"]) == (503, "STORE_FULL")
        assert "maxmemory" in answer.get_json()["error"]
        assert answer.headers["Retry-After"]
    assert [answer.status_code for answer in read] == [200, 200, 200]
    assert ready.get_json()["detail"]["redis"] == "has no memory left (maxmemory)"
    assert "knify_redis_memory_limit_bytes 1024.0" in figures
    assert deleted.status_code == 204  # which makes room
    assert api.submit()


def test_every_answer_has_its_security_headers(app: flask.Flask) -> None:
    for path in ("/", "/jobs", "/nowhere"):
        headers = app.test_client().get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
