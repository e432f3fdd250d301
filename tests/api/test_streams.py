from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from api import app as app_module
from api import context, shares, streams, unread
from api.hub import Hub
from knify import core as core_module
from knify import errors, hints, settings
from knify.core import Core
from knify.lifecycle import State
from tests.api.parts import Api, Worker, frames
from tests.parts import redis as redis_part

STREAMS = ["/events/stream", "/output/stream", "/cursor/stream?raw=1"]


def wait_for(found: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return value


class Follower:
    """A client in a thread of its own; `seen` grows while the stream lives."""

    def __init__(self, api: Api | FlaskClient, path: str, **more: Any) -> None:
        self.answer = api.get(path, **more)
        self.text = ""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for piece in self.answer.response:
            self.text += piece.decode() if isinstance(piece, bytes) else piece

    @property
    def seen(self) -> list[tuple[str, Any]]:
        return frames(self.text)

    def end(self) -> list[tuple[str, Any]]:
        self.thread.join(10)
        assert not self.thread.is_alive(), "the stream does not end"
        return self.seen


@pytest.fixture
def finished(api: Api, worker: Worker) -> str:
    """A finished job with lines of several, one, and no neutral events."""
    job_id = api.submit()
    x = worker.run(job_id)
    for n in (2, 1, 0, 3):
        x = worker.lines(x, f"line\n\ndata: fake {n}", "\r second \u2028", events=n)
    worker.finish(x)
    return job_id


@pytest.mark.parametrize("path", STREAMS)
def test_a_finished_stream_is_replayed_and_resumes_at_every_cut(
    api: Api, finished: str, path: str
) -> None:
    whole = frames(api.get(f"/jobs/{finished}{path}").text)
    assert len(whole) >= 8
    assert len({name for name, _ in whole}) == len(whole)

    for cut, (name, _) in enumerate(whole, 1):
        by_header = api.get(f"/jobs/{finished}{path}", headers={"Last-Event-ID": name})
        by_query = api.get(f"/jobs/{finished}{path}{'&' if '?' in path else '?'}after={name}")

        if cut == len(whole):
            assert by_header.status_code == by_query.status_code == 204
            assert by_header.data == b""
        else:
            assert frames(by_header.text) == frames(by_query.text) == whole[cut:]


def test_a_stream_says_the_same_as_the_array(api: Api, finished: str) -> None:
    for path in ("/output", "/events", "/output?raw=1"):
        array = api.get(f"/jobs/{finished}{path}").get_json()["events"]
        name, _, query = path.partition("?")
        streamed = frames(api.get(f"/jobs/{finished}{name}/stream?{query}").text)
        assert [data for _, data in streamed] == array


def test_the_header_counts_more_than_the_query(api: Api, finished: str) -> None:
    whole = frames(api.get(f"/jobs/{finished}/events/stream").text)

    answer = api.get(f"/jobs/{finished}/events/stream?after=1", headers={"Last-Event-ID": "3"})

    assert frames(answer.text) == whole[3:]


@pytest.mark.parametrize("name", ["x", "1.2.3", "-1", "1.", "9" * 30, "1 ", "999"])
def test_an_id_that_no_frame_had_is_refused(api: Api, finished: str, name: str) -> None:
    answer = api.get(f"/jobs/{finished}/output/stream", headers={"Last-Event-ID": name})

    assert (answer.status_code, answer.get_json()["code"]) == (400, "BAD_REQUEST")
    assert answer.get_json()["detail"] == {"field": "Last-Event-ID"}


def test_the_headers_are_those_of_a_live_stream(api: Api, finished: str) -> None:
    headers = api.get(f"/jobs/{finished}/output/stream").headers

    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("path", STREAMS)
def test_a_live_stream_brings_each_thing_once_and_ends_with_the_job(
    api: Api, worker: Worker, path: str
) -> None:
    job_id = api.submit()
    early = Follower(api, f"/jobs/{job_id}{path}")
    wait_for(lambda: early.text.startswith(":"))
    x = worker.run(job_id)
    late = Follower(api, f"/jobs/{job_id}{path}")
    for i in range(50):
        x = worker.lines(x, f"line {i}", events=i % 3)
    worker.finish(x)

    whole = frames(api.get(f"/jobs/{job_id}{path}").text)
    assert early.end() == late.end() == whole


def test_live_events_come_at_once(api: Api, worker: Worker) -> None:
    job_id = api.submit()
    x = worker.run(job_id)
    follower = Follower(api, f"/jobs/{job_id}/output/stream")
    x = worker.lines(x, "first")
    wait_for(lambda: len(follower.seen) == 1)

    before = time.monotonic()
    x = worker.lines(x, "second")
    wait_for(lambda: len(follower.seen) == 2)

    assert time.monotonic() - before < 10  # a heartbeat, which would bring it too, comes after 15
    worker.finish(x)
    follower.end()


def test_a_disconnected_client_resumes_a_live_stream_without_gap_or_double(
    api: Api, worker: Worker
) -> None:
    job_id = api.submit()
    x = worker.run(job_id)
    seen: list[tuple[str, Any]] = []
    for i in range(10):
        x = worker.lines(x, f"line {i}", events=3)
        headers = {"Last-Event-ID": seen[-1][0]} if seen else {}
        answer = api.get(f"/jobs/{job_id}/output/stream", headers=headers)
        pieces = iter(answer.response)
        next(pieces)
        part = next(pieces)
        text = part.decode() if isinstance(part, bytes) else part
        seen += frames(text)[: 1 + i % 3]  # the client goes away in the midst of it
        answer.close()
    worker.finish(x)

    rest = api.get(f"/jobs/{job_id}/output/stream", headers={"Last-Event-ID": seen[-1][0]})

    seen += frames(rest.text)
    assert seen == frames(api.get(f"/jobs/{job_id}/output/stream").text)


def test_nobody_who_left_is_listened_for(app: flask.Flask, api: Api, worker: Worker) -> None:
    job_id = api.submit()
    hub: Hub = app.extensions[context.HUB]
    answer = api.get(f"/jobs/{job_id}/output/stream")
    pieces = iter(answer.response)
    next(pieces)
    x = worker.lines(worker.run(job_id), "one")
    next(pieces)
    assert len(hub.channels()) == 1

    answer.close()

    assert hub.channels() == []
    worker.finish(x)


def test_a_quiet_stream_is_kept_alive_and_ends_although_every_hint_was_lost(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(Hub, "_heard", lambda *_: None)
    job_id = api.submit()
    x = worker.run(job_id)
    follower = Follower(api, f"/jobs/{job_id}/output/stream")
    wait_for(lambda: ": still here\n\n" in follower.text)

    worker.finish(worker.lines(x, "unheard"))

    assert follower.end()[-1][1]["type"] == "completed"


def test_the_stream_of_a_revoked_key_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    job_id = api.submit()
    made = api.post("/keys", {"scopes": ["read"]}).get_json()
    follower = Follower(Api(api.client, made["key"]), f"/jobs/{job_id}/output/stream")
    wait_for(lambda: follower.text)

    api.request("DELETE", f"/keys/{made['id']}")

    follower.end()


def test_who_takes_nothing_of_a_stream_is_told_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(unread.Reader, "idle", lambda _: 15.0)

    follower = Follower(api, f"/jobs/{api.submit()}/output/stream")

    follower.end()
    assert follower.text.endswith(": too slow, connect again\n\n")


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_part.Server]:
    """A server that a test may kill."""
    server = redis_part.start(tmp_path_factory.mktemp("k"))
    yield server
    server.stop()


def own_core(server: redis_part.Server, home: Path) -> Core:
    environ = {"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": server.url}
    return core_module.connect(settings.load(environ), hints.RecordedHints())


def test_when_the_hubs_connection_is_cut_followers_miss_nothing(
    own_server: redis_part.Server, tmp_path: Path
) -> None:
    core = own_core(own_server, tmp_path)
    app = app_module.create_app(core, no_auth=True)
    api, worker = Api(app.test_client(), ""), Worker(core)
    job_id = api.submit()
    x = worker.run(job_id)
    follower = Follower(api, f"/jobs/{job_id}/output/stream")
    for i in range(5):
        x = worker.lines(x, f"line {i}")
        wait_for(lambda n=i: len(follower.seen) == n + 1, seconds=3)
        core.store.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    worker.finish(x)

    assert len(follower.end()) == 6


def test_a_stream_ends_when_redis_goes_away(
    own_server: redis_part.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.3)
    core = own_core(own_server, tmp_path)
    app = app_module.create_app(core, no_auth=True)
    api = Api(app.test_client(), "")
    follower = Follower(api, f"/jobs/{api.submit()}/events/stream")
    wait_for(lambda: follower.seen)

    own_server.stop()

    follower.end()
    assert follower.text.endswith(": ended early, connect again\n\n")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_streams_of_other_ends_end_too(api: Api, worker: Worker, state: State) -> None:
    job_id = api.submit()
    worker.finish(worker.run(job_id), state)

    for path in STREAMS:
        assert api.get(f"/jobs/{job_id}{path}").status_code == 200
    last = frames(api.get(f"/jobs/{job_id}/events/stream").text)[-1][1]
    assert last["state"] == state.value


def test_a_tenant_that_holds_its_share_of_streams_is_refused_until_one_ends(
    app: flask.Flask, api: Api, worker: Worker
) -> None:
    app.extensions[context.STREAMS] = shares.Shares(3, 2, errors.StreamsBusy)
    job_id = api.submit()
    path = f"/jobs/{job_id}/output/stream"
    x = worker.run(job_id)
    first, second = api.get(path), api.get(path)

    refused = api.get(path)

    assert (refused.status_code, refused.get_json()["code"]) == (429, "STREAMS_BUSY")
    assert refused.headers["Retry-After"]
    for answer in (first, second):  # read or not
        answer.close()
        answer.close()
    kept = [api.get(path), api.get(path)]
    assert [answer.status_code for answer in kept] == [200, 200]
    for answer in kept:
        answer.close()
    worker.finish(x)
