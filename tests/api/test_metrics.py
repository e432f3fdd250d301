"""`/metrics`: what Prometheus reads, and who may."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import flask
import pytest
import redis
from prometheus_client import parser

from api import app as app_module
from knify import clock, counters, errors, hints, settings
from knify import core as core_module
from knify.core import Core
from knify.lifecycle import State
from knify.services import keys
from knify.store import counts as store_counts
from knify.store import redis as store_redis
from tests.api.parts import Api, Worker

TOKEN = "a-token-of-prometheus"


def scraped(api: Api) -> dict[tuple[str, tuple[str, ...]], float]:
    """Name and labels' values to value."""
    answer = api.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "text/plain"
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_jobs_are_counted_by_state_and_how_long_they_were_in_it(api: Api, worker: Worker) -> None:
    ids = [api.submit() for _ in range(3)]
    worker.finish(worker.run(ids[0]), State.FAILED)
    worker.run(ids[1])

    found = scraped(api)

    assert found["knify_executions", ("pending",)] == 1
    assert found["knify_executions", ("running",)] == 1
    assert found["knify_executions_entered_total", ("pending",)] == 3
    assert found["knify_executions_entered_total", ("failed",)] == 1
    assert found["knify_state_seconds_count", ("running",)] == 1
    assert 0 <= found["knify_state_seconds_sum", ("pending",)] < 60
    assert found["knify_executions_open", ()] == 2
    assert found["knify_sandboxes_idle", ()] == 1


def test_nodes_say_what_they_offer_and_what_is_taken(api: Api, core: Core, worker: Worker) -> None:
    facts = {"slots": 4, "cpus": 8.0, "memory": 2**34, "podman": "ok", "images": []}
    core.store.registry.heartbeat("n1", facts, clock.now_ms())
    worker.run(api.submit(memory="1G"))

    found = scraped(api)

    assert found["knify_node_up", ("n1",)] == 1
    assert (found["knify_node_slots", ("n1",)], found["knify_node_slots_used", ("n1",)]) == (4, 1)
    assert found["knify_node_memory_bytes_used", ("n1",)] == 2**30
    assert found["knify_node_sandboxes", ("n1",)] == 1
    assert found["knify_node_draining", ("n1",)] == 0


def test_what_waits_has_an_age_and_messages_are_counted(api: Api, core: Core) -> None:
    facts = {"slots": 0, "cpus": 8.0, "memory": 2**34, "podman": "ok", "images": []}
    core.store.registry.heartbeat("n1", facts, clock.now_ms())
    core.store.executions.claim(api.submit(), owner="o", node="n1", lease_ms=60_000, slots=0)
    core.store.client.lpush(hints.node_queue("n1"), "a", "b")
    core.store.client.lpush(hints.ANY_NODE, "c")

    found = scraped(api)

    assert found["knify_queue_length", ()] + found["knify_node_queue_length", ("n1",)] == 1
    assert 0 <= found["knify_queue_age_seconds", ()] < 60
    assert found["knify_hints_waiting", ()] == 1
    assert found["knify_node_hints_waiting", ("n1",)] == 2
    assert found["knify_redis_memory_bytes", ()] > 100_000


def test_what_processes_count_is_added_up_in_redis(api: Api, core: Core) -> None:
    counters.take()
    for _ in range(2):  # as two processes would
        counters.add("knify_sweeps")
        counters.add("knify_model_tokens", 5, "input")
        counters.add("knify_sandbox_operations", label="no such one")
        counters.observe("knify_execution_start_seconds", 0.2)
        core.store.counts.keep()
    counters.observe("knify_execution_start_seconds", 100_000)
    core.store.counts.keep()

    found = scraped(api)

    assert found["knify_sweeps_total", ()] == 2
    assert found["knify_model_tokens_total", ("input",)] == 10
    assert found["knify_model_tokens_total", ("output",)] == 0
    assert found["knify_sandbox_operations_total", ("other",)] == 2
    assert found["knify_execution_start_seconds_bucket", ("0.1",)] == 0
    assert found["knify_execution_start_seconds_bucket", ("0.25",)] == 2
    assert found["knify_execution_start_seconds_bucket", ("1800",)] == 2
    assert found["knify_execution_start_seconds_count", ()] == 3


def test_what_redis_did_not_take_is_counted_later(core: Core, tmp_path: Path) -> None:
    away = store_counts.Counts(store_redis.connect(f"unix://{tmp_path}/none.sock"))
    counters.take()
    counters.add("knify_swept", 3)

    with pytest.raises(redis.RedisError):
        away.keep()

    assert counters.take() == {"knify_swept": 3}


def test_whoever_lost_the_lease_is_counted(api: Api, core: Core, worker: Worker) -> None:
    x = worker.run(api.submit())
    counters.take()

    with pytest.raises(errors.LeaseLost):
        core.store.executions.move(dataclasses.replace(x, fence=x.fence - 1), State.COMPLETING)

    assert counters.take() == {"knify_fences_refused": 1}


def test_requests_are_counted_by_route_and_never_by_path(api: Api) -> None:
    for path in ("/jobs", "/jobs/job_a", "/jobs/job_b", "/no/such/path", "/another"):
        api.get(path)

    found = scraped(api)

    assert found["knify_http_requests_total", ("GET", "list_jobs", "200")] == 1
    assert found["knify_http_requests_total", ("GET", "get_job", "404")] == 2
    assert found["knify_http_requests_total", ("nowhere", "nowhere", "404")] == 2
    assert found["knify_http_request_seconds_count", ("get_job",)] == 2


def test_a_scrape_asks_for_as_much_whatever_the_number_of_jobs(api: Api, core: Core) -> None:
    def asked() -> int:
        stats = core.store.client.info("commandstats")
        reads = {
            "cmdstat_zcard",
            "cmdstat_hgetall",
            "cmdstat_zrange",
            "cmdstat_mget",
            "cmdstat_get",
        }
        return sum(stats[name]["calls"] for name in reads & stats.keys())

    api.submit()
    costs = []
    for more in (0, 40):
        for _ in range(more):
            api.submit()
        before = asked()
        core.store.meter.read()
        costs.append(asked() - before)

    assert costs[0] == costs[1] > 0


def test_only_operators_and_the_token_open_it(
    api: Api, core: Core, config: settings.Settings
) -> None:
    given = dataclasses.replace(config, metrics_token=TOKEN)
    app = app_module.create_app(core_module.connect(given, hints.RecordedHints()))

    def status(path: str, text: str) -> int:
        return app.test_client().get(path, headers={"Authorization": f"Bearer {text}"}).status_code

    reader = keys.create(core, "default", scopes=("read",)).text
    other = keys.create(core, "other", scopes=("admin",)).text
    assert status("/metrics", TOKEN) == status("/metrics", api.key) == 200
    assert status("/metrics", reader) == status("/metrics", other) == 403
    assert status("/metrics", TOKEN[:-1]) == status("/jobs", TOKEN) == 401
    assert app.test_client().get("/metrics").status_code == 401
    assert TOKEN not in repr(given)


def test_without_a_token_an_empty_one_opens_nothing(app: flask.Flask) -> None:
    for text in ("Bearer ", "Bearer", "", "Basic x"):
        answer = app.test_client().get("/metrics", headers={"Authorization": text})
        assert answer.status_code == 401


def test_a_token_that_one_could_guess_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="KNIFY_METRICS_TOKEN"):
        settings.load({"KNIFY_HOME": str(tmp_path), "KNIFY_METRICS_TOKEN": "short"})


def test_without_redis_it_says_so_and_how_the_process_fares(tmp_path: Path) -> None:
    environ = {"KNIFY_HOME": str(tmp_path), "KNIFY_REDIS_URL": f"unix://{tmp_path}/none.sock"}
    core = core_module.connect(settings.load(environ), hints.RecordedHints())
    client = app_module.create_app(core, no_auth=True).test_client()

    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert "knify_redis_up 0.0" in answer.text and "process_resident_memory_bytes" in answer.text
    assert "knify_executions_open" not in answer.text
