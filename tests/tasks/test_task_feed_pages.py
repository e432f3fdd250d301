"""How a task's history and lines become one stream, and who may open it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import flask
import pytest

from api import context, streams
from api.tasks import feed
from knify.core import Core
from knify.services import tasks
from knify.store.samples import Sample
from tests.api.parts import Api, Worker
from tests.tasks.parts import TASKS, submit

STREAM = f"{TASKS}/stream"


def test_what_is_no_handshake_is_refused_in_plain_words(api: Api, stranger: Api) -> None:
    submit(api, id="plain")
    answers = {
        query: api.get(f"{STREAM}?{query}")
        for query in ("", "task_id=plain", "task_id=plain&after=x", "task_id=plain&after=9.9")
    }
    foreign, unknown = stranger.get(f"{STREAM}?task_id=plain"), stranger.get(f"{STREAM}?task_id=x")

    assert {query: answer.status_code for query, answer in answers.items()} == dict.fromkeys(
        answers, 400
    )
    assert "WebSocket" in answers["task_id=plain"].get_json()["message"]
    assert answers["task_id=plain&after=x"].get_json()["details"] == {"field": "after"}
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert api.client.get(f"{STREAM}?task_id=plain").status_code == 401


def test_pages_of_both_kinds_meet_in_the_order_of_their_times(
    api: Api, core: Core, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = submit(api)
    worker.finish(worker.lines(worker.run(task_id), *"abcdefgh"))
    x = tasks.get(core, "default", task_id)
    whole = frames(feed.Feed(core, x), 200)

    monkeypatch.setattr(feed, "_ENTRIES", 2)
    monkeypatch.setattr(feed.output_view, "PAGE", 3)
    in_parts = frames(feed.Feed(core, x), 2)

    assert [f.id for f in in_parts] == [f.id for f in whole]
    assert [f.last for f in whole] == [False] * (len(whole) - 1) + [True]


def frames(source: feed.Feed, most: int) -> list[Any]:
    """All frames, page by page."""
    found: list[Any] = []
    after = feed.BEGIN
    source._most = most
    while page := source.page(after)[0]:
        found += page
        after = page[-1].position
        source._most = most
    return found


def test_what_a_task_takes_is_told_once_while_it_goes_on(
    api: Api, core: Core, worker: Worker
) -> None:
    task_id = submit(api)
    running = worker.run(task_id)
    source = feed.Feed(core, tasks.get(core, "default", task_id))
    after = source.page(feed.BEGIN)[0][-1].position

    core.store.samples.add([Sample(task_id, running.fence, 0.5, 200)])
    told, again = source.page(after)[0], source.page(after)[0]

    taken = {"cpu_usage": 0.5, "memory_usage": 200}
    assert [frame.data | {"timestamp": ""} for frame in told] == [
        {"type": "metrics", "task_id": task_id, "timestamp": ""} | taken
    ]
    assert ([frame.position for frame in told], told[0].id, again) == ([after], "", [])
    worker.finish(running)
    kinds = [frame.data["type"] for frame in frames(feed.Feed(core, source.x), 200) if frame.data]
    assert "metrics" not in kinds


def test_who_comes_back_is_told_what_it_takes_once_and_what_is_new_then(
    app: flask.Flask, api: Api, core: Core, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    task_id = submit(api)
    running = worker.run(task_id)
    core.store.samples.add([Sample(task_id, running.fence, 0.5, 200)])
    x = tasks.get(core, "default", task_id)
    stream = streams.follow(
        app.extensions[context.HUB], feed.Feed(core, x), (x.events, x.entries)
    )  # fmt: skip
    came = (json.loads(text.splitlines()[0])["type"] for text in stream if text)
    silence = ["", ""]  # comments of this style

    assert next(came) == "metrics"
    assert list(itertools.islice(stream, 2)) == silence
    worker.lines(running, "new")
    assert next(came) == "output"
