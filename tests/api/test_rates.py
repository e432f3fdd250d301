"""How many requests a key has, and what answers say of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import flask
import pytest
import redis

from api import app as app_module
from api import context, limits
from knify import errors, settings
from knify.core import Core
from knify.services import keys, rates
from tests.api.parts import COMMAND, Api

HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def told(answer: Any) -> tuple[int, int, int]:
    limit, remaining, reset = (int(answer.headers[name]) for name in HEADERS)
    return limit, remaining, reset


@pytest.fixture
def limited(app: flask.Flask, core: Core) -> Callable[..., Api]:
    def make(count: int | None = None, tier: str = "enterprise", **more: Any) -> Api:
        more = {"scopes": ("admin",)} | more
        made = keys.create(core, "acme", tier=tier, limit_per_hour=count, **more)
        return Api(app.test_client(), made.text)

    return make


@pytest.fixture
def twin(core: Core) -> Iterator[flask.Flask]:
    """A second API process, as far as Redis can tell."""
    made = app_module.create_app(core)
    yield made
    made.extensions[context.HUB].close()


def test_the_101st_request_of_a_free_key_in_an_hour_is_refused(limited: Any) -> None:
    api = limited(tier="free")
    began = time.time()
    answers = [api.get("/jobs?limit=1") for _ in range(100)]

    refused = api.get("/jobs?limit=1")

    assert {a.status_code for a in answers} == {200}
    assert [told(a)[:2] for a in answers] == [(100, 99 - n) for n in range(100)]
    limit, remaining, reset = told(refused)
    assert (refused.status_code, limit, remaining) == (429, 100, 0)
    assert began + 3_590 <= reset <= time.time() + 3_601
    assert {told(a)[2] for a in answers} == {reset}  # when the first of them stops to count
    wait = int(refused.headers["Retry-After"])
    assert 3_400 < wait <= 3_601
    assert refused.get_json() == {
        "error": f"this key has used its 100 requests of an hour: try again in {wait} s",
        "detail": {"limit": 100, "retry_after": wait},
        "code": "RATE_LIMITED",
    }


def test_two_processes_share_the_count(limited: Any, twin: flask.Flask) -> None:
    api = limited(4)
    other = Api(twin.test_client(), api.key)

    answers = [who.get("/jobs") for who in (api, other, api, other, other, api)]

    assert [a.status_code for a in answers] == [200] * 4 + [429] * 2
    assert [told(a)[1] for a in answers] == [3, 2, 1, 0, 0, 0]


def test_the_window_moves(limited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api, start = limited(2), time.time()
    moments = {0: 200, 600: 200, 3_500: 429, 3_601: 200, 3_700: 429, 4_201: 200}

    seen = {}
    for later in moments:
        monkeypatch.setattr(time, "time", lambda later=later: start + later)
        seen[later] = api.get("/jobs").status_code

    assert seen == moments


def test_every_answer_of_a_limited_key_says_how_it_stands_and_counts(
    limited: Any, core: Core
) -> None:
    api = limited(20, scopes=("write",))
    api.post("/jobs", {"spec": COMMAND})
    calls = [
        ("GET", "/jobs", 403, {}),
        ("POST", "/jobs", 400, {"json": {"nonsense": 1}}),
        ("POST", "/jobs", 415, {"data": b"x"}),
        ("POST", "/jobs/job_zzz/cancel", 404, {}),
        ("DELETE", "/jobs", 405, {}),
        ("GET", "/nowhere", 404, {}),
        ("OPTIONS", "/jobs", 200, {}),
    ]

    answers = [api.request(method, path, **more) for method, path, _, more in calls]

    assert [a.status_code for a in answers] == [status for _, _, status, _ in calls]
    assert [told(a)[1] for a in answers] == list(range(18, 11, -1))


def test_what_needs_no_key_counts_for_none(limited: Any) -> None:
    api = limited(2)

    answers = [api.get(path) for path in ("/", "/api/health", "/openapi.json") * 2]

    assert {a.status_code for a in answers} == {200}
    assert not any(name in a.headers for a in answers for name in HEADERS)
    assert told(api.get("/jobs"))[1] == 1


def test_a_stream_counts_once_when_it_is_opened(limited: Any, worker: Any) -> None:
    api = limited(5)
    worker.finish(worker.run(api.submit()))
    job_id = api.get("/jobs").get_json()[0]["id"]

    stream = api.get(f"/jobs/{job_id}/events/stream")

    assert "completed" in stream.text
    assert told(stream)[1] == 2


def test_a_key_without_limit_has_no_such_headers_and_costs_no_round_trip(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(rates.Limiter, "_hit", never)

    answer = api.get("/jobs")

    assert answer.status_code == 200
    assert not any(name in answer.headers for name in HEADERS)


def test_the_tier_of_new_keys_is_a_setting(core: Core, config: settings.Settings) -> None:
    made = [
        keys.create(replace(core, settings=replace(config, default_tier=tier)), "default").record
        for tier in ("free", "pro", "enterprise")
    ]

    assert [key.limit for key in made] == [100, 1_000, None]


def test_a_key_of_before_there_were_limits_has_its_tiers(core: Core) -> None:
    made = keys.create(core, "default", tier="pro").record
    core.store.client.hdel(f"knify:k:{made.id}", "windows", "mode")

    assert core.store.access.find_key(made.id) == made


def test_requests_at_once_never_pass_the_limit(core: Core) -> None:
    from concurrent.futures import ThreadPoolExecutor

    key = keys.create(core, "default", tier="enterprise", limit_per_hour=10).record
    limiter = rates.Limiter(core.store.client)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(limiter.hit, [key] * 40))

    assert sum(rate.allowed for rate in found if rate) == 10


def test_counts_go_an_hour_after_the_last_request(core: Core) -> None:
    key = keys.create(core, "default", tier="free").record
    rates.Limiter(core.store.client).hit(key)

    (name,) = core.store.client.keys("knify:rate:*")

    assert name == f"knify:rate:key/{key.id}/100/1/hour"
    assert 3_500 < core.store.client.ttl(name) <= 3_600


def test_without_redis_a_limited_key_is_told_so_at_once(
    app: flask.Flask, limited: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = limited(5)
    api.get("/jobs")

    def gone(*_: Any) -> Any:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(app.extensions[limits.LIMITER], "_hit", gone)

    answer = api.get("/jobs")

    assert (answer.status_code, answer.get_json()["code"]) == (503, errors.StoreUnavailable.code)
