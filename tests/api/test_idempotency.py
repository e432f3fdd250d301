"""Creating POSTs with an Idempotency-Key: routes of its own, so that it holds for any."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import flask
import pytest
import redis

from api import app as app_module
from api import context, idempotency, smorest
from knify import errors
from knify.core import Core
from knify.services import keys
from knify.store import keys as store_keys
from knify.store import replays
from tests.api.parts import COMMAND, Api, Worker

KEY = {"Idempotency-Key": "k 1:%"}


class Things:
    """What the route makes, and how it fails."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.fail: Exception | None = None
        self.fail_after: Exception | None = None
        self.gate: threading.Event | None = None
        self.begun = threading.Event()

    def make(self, thing_id: str) -> None:
        self.begun.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.fail is not None:
            raise self.fail
        self.made.append(thing_id)
        if self.fail_after is not None:
            raise self.fail_after


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def app(core: Core, things: Things, monkeypatch: pytest.MonkeyPatch) -> Iterator[flask.Flask]:
    blp = smorest.Blueprint("things", __name__)

    @blp.route("/things/<name>", methods=["POST"])
    @blp.needs("write")
    @idempotency.replays
    @blp.response(200)
    def make_thing(name: str) -> flask.Response:
        thing_id = idempotency.new_id("thing")
        things.make(thing_id)
        return flask.jsonify({"id": thing_id, "secret": idempotency.seed() + name})

    register = app_module._register

    def with_things(api: smorest.Api) -> None:
        register(api)
        api.register_blueprint(blp)

    monkeypatch.setattr(app_module, "_register", with_things)
    made = app_module.create_app(core)
    yield made
    made.extensions[context.HUB].close()


def test_the_same_key_and_body_give_the_first_answer_again(api: Api, things: Things) -> None:
    first = api.post("/things/a", {"x": 1, "y": 2}, headers=KEY)

    again = api.post("/things/a", {"y": 2, "x": 1}, headers=KEY)

    assert (again.status_code, again.get_json()) == (200, first.get_json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content_type == first.content_type
    assert "Idempotent-Replayed" not in first.headers
    assert things.made == [first.get_json()["id"]]


def test_another_body_or_path_is_a_conflict(api: Api, things: Things) -> None:
    api.post("/things/a", {"x": 1}, headers=KEY)

    answers = [api.post("/things/a", {"x": 2}, headers=KEY), api.post("/things/b", {}, headers=KEY)]

    assert {(a.status_code, a.get_json()["code"]) for a in answers} == {
        (422, "IDEMPOTENCY_CONFLICT")
    }
    assert len(things.made) == 1


def test_without_the_header_each_request_makes_one(api: Api, things: Things) -> None:
    ids = [api.post("/things/a", {}).get_json()["id"] for _ in range(2)]

    assert things.made == ids
    assert len(set(ids)) == 2


def test_no_other_key_is_told_what_one_was_answered(
    api: Api, stranger: Api, core: Core, things: Things
) -> None:
    colleague = Api(api.client, keys.create(core, "default").text)

    answers = [who.post("/things/a", {}, headers=KEY) for who in (api, stranger, colleague)]

    assert len({a.get_json()["secret"] for a in answers}) == len(things.made) == 3


def test_kept_answers_are_sealed_and_last_a_day(api: Api, core: Core) -> None:
    secret = api.post("/things/a", {}, headers=KEY).get_json()["secret"]

    (name,) = core.store.client.keys(f"{store_keys.PREFIX}replay:*")
    fields = core.store.client.hgetall(name)

    assert secret not in str(fields)
    assert set(fields) == {"digest", "seed", "answer"}
    assert 86_000 < core.store.client.ttl(name) <= 86_400


def test_what_was_refused_may_be_sent_again_with_another_body(api: Api, things: Things) -> None:
    things.fail = errors.Conflict("not now")
    assert api.post("/things/a", {"x": 1}, headers=KEY).status_code == 409
    things.fail = None

    again = api.post("/things/a", {"x": 2}, headers=KEY)

    assert again.status_code == 200
    assert "Idempotent-Replayed" not in again.headers


@pytest.mark.parametrize("failure", [errors.StoreUnavailable(), ValueError("a bug")])
def test_what_failed_half_way_is_done_again_under_the_same_id(
    api: Api, things: Things, failure: Exception
) -> None:
    things.fail_after = failure
    assert api.post("/things/a", {}, headers=KEY).status_code >= 500
    things.fail_after = None

    again = api.post("/things/a", {}, headers=KEY)

    assert again.status_code == 200
    assert things.made == [again.get_json()["id"]] * 2


def test_who_died_at_work_is_taken_over_under_the_same_id(
    api: Api, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 30.0)
    monkeypatch.setattr(replays.Replays.begin, "__kwdefaults__", {"busy_seconds": 0.05})
    things.fail_after = redis.ConnectionError("gone")
    assert api.post("/things/a", {}, headers=KEY).status_code == 503
    things.fail_after = None

    again = api.post("/things/a", {}, headers=KEY)

    assert again.status_code == 200
    assert things.made == [again.get_json()["id"]] * 2


def test_of_two_at_once_one_creates(app: flask.Flask, api: Api, things: Things) -> None:
    things.gate = threading.Event()
    answers: list[Any] = []

    def post() -> None:
        answers.append(Api(app.test_client(), api.key).post("/things/a", {}, headers=KEY))

    both = [threading.Thread(target=post) for _ in range(2)]
    for thread in both:
        thread.start()
    assert things.begun.wait(30)
    things.gate.set()
    for thread in both:
        thread.join(30)

    assert len(things.made) == 1
    assert [a.get_json()["id"] for a in answers] == things.made * 2
    assert sorted("Idempotent-Replayed" in a.headers for a in answers) == [False, True]


def test_who_waits_too_long_is_told_so(
    app: flask.Flask, api: Api, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.0)
    things.gate = threading.Event()
    first = threading.Thread(
        target=lambda: Api(app.test_client(), api.key).post("/things/a", {}, headers=KEY)
    )
    first.start()
    assert things.begun.wait(30)

    answer = api.post("/things/a", {}, headers=KEY)
    things.gate.set()
    first.join(30)

    assert (answer.status_code, answer.get_json()["code"]) == (409, "IDEMPOTENCY_BUSY")


def test_a_job_that_is_gone_is_still_the_answer_to_its_key(
    api: Api, core: Core, worker: Worker
) -> None:
    parent = api.submit()
    worker.finish(worker.run(parent))
    calls = [("/jobs", {"Idempotency-Key": "a"}), (f"/jobs/{parent}/continue", KEY)]
    first = [api.post(path, {"spec": COMMAND}, headers=key) for path, key in calls]
    for job in (parent, *(a.get_json()["job_id"] for a in first)):
        core.store.client.delete(store_keys.execution(job))

    again = [api.post(path, {"spec": COMMAND}, headers=key) for path, key in calls]

    assert [a.get_json() for a in again] == [a.get_json() for a in first]
    assert {a.headers["Idempotent-Replayed"] for a in again} == {"true"}
