"""What tasks print: as text, as JSON lines, followed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from knify import clock, model
from knify.core import Core
from knify.services import packing
from knify.store.streams import entry_json
from tests.api.parts import Api, Worker, frames
from tests.tasks.parts import TASKS, submit

NDJSON = {"Accept": "application/x-ndjson"}


def printed(core: Core, x: model.Execution, *lines: tuple[str, str, int]) -> model.Execution:
    """Store lines: stream, text, and when (ms)."""
    entries = [
        json.dumps(entry_json(ts, [], n=x.lines + n, stream=stream, line=text))
        for n, (stream, text, ts) in enumerate(lines, 1)
    ]
    return core.store.executions.append(x, entries, lines=x.lines + len(lines), out=1, err=1)


@pytest.fixture
def ended(api: Api, worker: Worker, core: Core) -> str:
    """A task of four lines, half an hour old and new."""
    task_id = submit(api)
    old, new = clock.now_ms() - 1_800_000, clock.now_ms()
    x = printed(
        core, worker.run(task_id), ("stdout", "a", old), ("stderr", "b", old),
        ("stdout", "c", new), ("stderr", "d", new),
    )  # fmt: skip
    worker.finish(x)
    return task_id


def logs(api: Api, task_id: str, query: str = "", **more: Any) -> str:
    answer = api.get(f"{TASKS}/{task_id}/logs?{query}", **more)
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "a\nb\nc\nd\n"),
        ("stream=all", "a\nb\nc\nd\n"),
        ("stream=stdout", "a\nc\n"),
        ("stream=stderr", "b\nd\n"),
        ("tail=2", "c\nd\n"),
        ("tail=0", ""),
        ("tail=100", "a\nb\nc\nd\n"),
        ("tail=1&stream=stdout", "c\n"),
        ("tail=2&stream=stdout", "a\nc\n"),
        ("since=15m", "c\nd\n"),
        ("since=2h", "a\nb\nc\nd\n"),
        ("since=15m&tail=1", "d\n"),
        ("since=2999-01-01T00:00:00Z", ""),
    ],
)
def test_logs_are_lines_of_text(
    api: Api, core: Core, ended: str, query: str, text: str, is_packed: bool
) -> None:
    assert not is_packed or packing.pack(core, ended)

    assert logs(api, ended, query) == text


def test_they_are_plain_text_that_no_browser_interprets(api: Api, ended: str) -> None:
    answer = api.get(f"{TASKS}/{ended}/logs")

    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_they_come_as_json_lines_when_one_accepts_these(api: Api, ended: str) -> None:
    rows = [json.loads(line) for line in logs(api, ended, headers=NDJSON).splitlines()]

    assert [(row["n"], row["stream"], row["line"]) for row in rows] == [
        (1, "stdout", "a"), (2, "stderr", "b"), (3, "stdout", "c"), (4, "stderr", "d"),
    ]  # fmt: skip


def test_the_history_is_one_of_the_streams(api: Api, ended: str) -> None:
    lines = logs(api, ended, "stream=events").splitlines()
    rows = [json.loads(r) for r in logs(api, ended, "stream=events", headers=NDJSON).splitlines()]

    assert "created: command_task accepted" in lines[0]
    assert rows[-1]["state"] == "completed"
    assert len(rows) == len(lines)
    assert logs(api, ended, "stream=events&tail=1").splitlines() == lines[-1:]


def test_they_are_followed_as_events_to_the_end(api: Api, ended: str) -> None:
    answer = api.get(f"{TASKS}/{ended}/logs?follow=true")
    found = frames(answer.text)

    assert answer.mimetype == "text/event-stream"
    assert [data["line"] for _, data in found] == ["a", "b", "c", "d"]
    rest = frames(
        api.get(f"{TASKS}/{ended}/logs?follow=true", headers={"Last-Event-ID": found[1][0]}).text
    )
    assert [data["line"] for _, data in rest] == ["c", "d"]


def test_after_the_end_a_reader_need_not_come_again(api: Api, ended: str) -> None:
    last = frames(api.get(f"{TASKS}/{ended}/logs?follow=true").text)[-1][0]

    answer = api.get(f"{TASKS}/{ended}/logs?follow=true", headers={"Last-Event-ID": last})

    assert answer.status_code == 204


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("tail=1", ["d"]),
        ("stream=stdout", ["a", "c"]),
        ("stream=stderr&tail=1", ["d"]),
        ("since=15m", ["c", "d"]),
    ],
)
def test_what_is_followed_can_be_narrowed(
    api: Api, ended: str, query: str, lines: list[str]
) -> None:
    found = frames(logs(api, ended, f"follow=true&{query}"))

    assert [data["line"] for _, data in found] == lines


def test_they_are_followed_as_json_lines(api: Api, ended: str) -> None:
    answer = api.get(f"{TASKS}/{ended}/logs?follow=true", headers=NDJSON)
    rows = [json.loads(line) for line in answer.text.splitlines() if line]

    assert answer.mimetype == "application/x-ndjson"
    assert [row["line"] for row in rows] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "query",
    ["tail=-1", "tail=100001", "tail=x", "since=yesterday", "stream=odd", "follow=maybe", "x=1"],
)
def test_a_wrong_query_is_refused(api: Api, ended: str, query: str) -> None:
    answer = api.get(f"{TASKS}/{ended}/logs?{query}")

    assert answer.status_code == 400 or query == "x=1"


def test_a_long_output_is_searched_from_its_end(api: Api, worker: Worker, core: Core) -> None:
    task_id = submit(api)
    now = clock.now_ms()
    x = printed(core, worker.run(task_id), ("stderr", "rare", now))
    for _ in range(3):
        x = printed(core, x, *(("stdout", str(n), now) for n in range(1_000)))

    assert logs(api, task_id, "tail=1&stream=stderr") == "rare\n"
    assert logs(api, task_id, "tail=3") == "997\n998\n999\n"


def test_a_stream_token_opens_them(api: Api, ended: str) -> None:
    path = f"{TASKS}/{ended}/logs?follow=true&tail=1"
    made = api.post("/stream-tokens", {"path": path})
    assert made.status_code == 200, made.text

    answer = api.client.get(made.get_json()["url"])

    assert [data["line"] for _, data in frames(answer.text)] == ["d"]
