"""Streams for clients that can send no header."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import flask
import pytest

from api import app as app_module
from api import auth, streams
from knify import clock
from knify.core import Core
from knify.services import keys, tokens
from tests.api.parts import Api, Worker, frames
from tests.api.test_streams import Follower, wait_for


def stream_of(job_id: str, kind: str = "events") -> str:
    return f"/jobs/{job_id}/{kind}/stream"


def token_for(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/stream-tokens", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


@pytest.fixture
def job_id(api: Api, worker: Worker) -> str:
    job_id = api.submit()
    worker.finish(worker.lines(worker.run(job_id), "hello"))
    return job_id


def test_a_token_opens_its_stream_once_without_a_key(api: Api, job_id: str) -> None:
    made = token_for(api, path=stream_of(job_id))

    first, second = (api.client.get(made["url"]) for _ in range(2))

    assert frames(first.text)[-1][1]["state"] == "completed"
    assert (second.status_code, second.get_json()["code"]) == (401, "UNAUTHORIZED")
    assert made["url"] == f"{stream_of(job_id)}?token={made['token']}"
    assert 0 < clock.parse_rfc3339(made["expires_at"]) - clock.now_ms() <= 60_000


def test_the_path_keeps_its_query_and_a_job_needs_no_path(api: Api, job_id: str) -> None:
    by_path = token_for(api, path=f"{stream_of(job_id, 'output')}?raw=1&after=0&token=old")
    by_job = token_for(api, job_id=job_id, stream="cursor")

    parts = urlsplit(by_path["url"])
    assert parse_qs(parts.query) == {"raw": ["1"], "after": ["0"], "token": [by_path["token"]]}
    assert frames(api.client.get(by_path["url"]).text)[0][1]["line"] == "hello"
    assert urlsplit(by_job["url"]).path == stream_of(job_id, "cursor")
    assert api.client.get(by_job["url"]).status_code == 200


def test_a_token_opens_nothing_else(api: Api, job_id: str) -> None:
    other = api.submit()
    token = token_for(api, path=stream_of(job_id))["token"]
    paths = [f"/jobs/{job_id}", "/jobs", "/keys", stream_of(other), stream_of(job_id, "output")]

    assert {api.client.get(f"{path}?token={token}").status_code for path in paths} == {401}
    as_key = {"Authorization": f"Bearer {token}"}
    assert api.client.get(stream_of(job_id), headers=as_key).status_code == 401
    assert api.client.head(f"{stream_of(job_id)}?token={token}").status_code == 401
    assert api.client.get(f"{stream_of(job_id)}?token={token}").status_code == 200


def test_a_key_as_token_opens_nothing(api: Api, job_id: str) -> None:
    assert api.client.get(f"{stream_of(job_id)}?token={api.key}").status_code == 401
    assert api.client.get(f"{stream_of(job_id)}?token=").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"path": "/jobs"},
        {"path": "/nowhere/stream"},
        {"path": "jobs/x/events/stream"},
        {"path": "//evil.example/jobs/x/events/stream"},
        {"path": "https://evil.example/jobs/x/events/stream"},
        {"path": "/jobs/../keys"},
        {"path": "http://[x"},
        {"path": "/jobs/x/events/stream", "job_id": "x"},
        {"path": "/jobs/x/events/stream", "stream": "events"},
        {"job_id": "x", "stream": "logs"},
        {"job_id": "a/b"},
    ],
)
def test_only_streams_have_tokens(api: Api, body: dict[str, Any]) -> None:
    answer = api.post("/stream-tokens", body)

    assert (answer.status_code, answer.get_json()["code"]) == (400, "BAD_REQUEST")


def test_a_foreign_job_is_one_that_does_not_exist(api: Api, stranger: Api, job_id: str) -> None:
    made_up = job_id[:-3] + "zzz"

    answers = [stranger.post("/stream-tokens", {"job_id": name}) for name in (job_id, made_up)]

    assert {a.status_code for a in answers} == {404}
    assert answers[0].text == answers[1].text.replace(made_up, job_id)


def test_a_key_that_may_not_read_gets_no_token(app: flask.Flask, core: Core, job_id: str) -> None:
    api = Api(app.test_client(), keys.create(core, "default", scopes=("write",)).text)

    assert api.post("/stream-tokens", {"job_id": job_id}).status_code == 403


def test_a_token_is_gone_after_a_minute_and_only_its_hash_is_stored(
    api: Api, core: Core, job_id: str
) -> None:
    made = token_for(api, job_id=job_id)

    (name,) = core.store.client.keys("knify:token:*")

    assert 0 < core.store.client.ttl(name) <= tokens.SECONDS == 60
    assert made["token"] not in name + core.store.client.get(name)
    core.store.client.delete(name)
    assert api.client.get(made["url"]).status_code == 401


def test_a_token_is_no_better_than_its_key(api: Api, job_id: str) -> None:
    for end in ("DELETE", "POST"):
        key = api.post("/keys", {"scopes": ["read"]}).get_json()
        made = token_for(Api(api.client, key["key"]), job_id=job_id)
        path = f"/keys/{key['id']}" if end == "DELETE" else f"/keys/{key['id']}/rotate"

        assert api.request(end, path).status_code == 200

        assert api.client.get(made["url"]).status_code == 401


def test_opening_by_token_counts_for_its_key(app: flask.Flask, core: Core, job_id: str) -> None:
    made = keys.create(core, "default", tier="enterprise", limit_per_hour=3)
    api = Api(app.test_client(), made.text)
    url = token_for(api, job_id=job_id)["url"]

    assert app.test_client().get(url).headers["X-RateLimit-Remaining"] == "1"


def test_a_stream_opened_by_a_token_ends_when_its_key_is_revoked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    key = api.post("/keys", {"scopes": ["read"]}).get_json()
    url = token_for(Api(api.client, key["key"]), job_id=api.submit(), stream="events")["url"]
    follower = Follower(api.client, url)
    wait_for(lambda: follower.text)

    api.request("DELETE", f"/keys/{key['id']}")

    follower.end()


def test_a_stream_looks_at_its_key_often_enough() -> None:
    assert streams.HEARTBEAT_SECONDS + auth.CACHE_SECONDS < 30


def test_repeated_within_its_minute_the_request_gives_the_same_token(
    api: Api, job_id: str, core: Core
) -> None:
    headers = {"Idempotency-Key": "t"}
    answers = [api.post("/stream-tokens", {"job_id": job_id}, headers=headers) for _ in range(2)]

    assert answers[0].get_json() == answers[1].get_json()
    (name,) = core.store.client.keys("knify:replay:*")
    assert core.store.client.ttl(name) <= 60


def test_without_keys_a_page_may_ask_for_tokens_too(core: Core) -> None:
    client = app_module.create_app(core, no_auth=True).test_client()
    job_id = client.post("/jobs", json={"spec": {"job_type": "command_task", "command": "x"}})
    body = {"job_id": job_id.get_json()["job_id"]}

    made = client.post("/stream-tokens", json=body).get_json()

    assert client.get(made["url"], buffered=False).status_code == 200
