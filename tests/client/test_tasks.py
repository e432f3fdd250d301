"""Tasks, through both clients, against a scripted server."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from knify.client import Client, Conflict, NotFound
from tests.client import scripted

TASKS = "/api/v1/tasks"
LOGS = f"{TASKS}/t-1/logs"
ROW = {"id": "t-1", "state": "running", "name": "n", "execution_id": "task_1"}
END = [{"stage": "created"}, {"stage": "failed", "state": "failed_preserved"}]
LINES = [{"n": n, "stream": "stdout", "line": str(n)} for n in range(1, 31)]


@pytest.mark.parametrize(
    ("manifest", "kind", "sent"),
    [
        ("version: '1'\n", "application/yaml", b"version: '1'\n"),
        ({"version": "1"}, "application/json", b'{"version": "1"}'),
    ],
)
def test_a_manifest_goes_as_it_was_written_and_only_once(
    server: scripted.Server, client: Client, manifest: Any, kind: str, sent: bytes
) -> None:
    server.on("POST", TASKS, {}, 503, Retry_After="0")
    server.on("POST", TASKS, {"task_id": "t-1", "state": "pending", "links": {}}, 202)

    submitted = client.submit_task(manifest)

    assert (submitted.task_id, submitted.state) == ("t-1", "pending")
    assert [request.body for request in server.requests] == [sent, sent]
    assert {request.headers["content-type"] for request in server.requests} == {kind}
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_a_page_of_tasks_is_asked_for_by_states_and_labels(
    server: scripted.Server, client: Client
) -> None:
    server.on("GET", TASKS, {"tasks": [ROW], "total_count": 7, "offset": 2, "has_more": True})

    page = client.tasks(state=["running", "failed"], labels={"team": "a"}, limit=1, offset=2)

    assert [task.execution_id for task in page] == ["task_1"]
    assert (len(page), page.total_count, page.has_more) == (1, 7, True)
    assert server.requests[0].query == {
        "state": "running,failed", "label.team": "a", "limit": "1", "offset": "2",
    }  # fmt: skip


def test_errors_of_tasks_have_the_codes_of_all_others(
    server: scripted.Server, client: Client
) -> None:
    said = {"error": "task_already_terminal", "message": "it has ended", "details": {"state": "x"}}
    server.on("DELETE", f"{TASKS}/t-1", said, 409)
    server.on("GET", f"{TASKS}/t-2", {"error": "task_not_found", "message": "no"}, 404)

    with pytest.raises(Conflict) as refused:
        client.cancel_task("t-1")
    with pytest.raises(NotFound, match="no"):
        client.task("t-2")

    assert (refused.value.code, refused.value.detail) == ("TASK_ALREADY_TERMINAL", {"state": "x"})


def test_a_cancellation_whose_answer_was_lost_is_no_deletion(
    server: scripted.Server, client: Client
) -> None:
    server.on("DELETE", f"{TASKS}/t-1", {}, 502, Retry_After="0")
    server.on("DELETE", f"{TASKS}/t-1", {"error": "task_not_found", "message": "no"}, 404)

    with pytest.raises(NotFound):
        client.cancel_task("t-1", "wrong branch", force=True)

    assert server.requests[1].json() == {"reason": "wrong branch", "force": True}


@pytest.mark.parametrize("cuts", [(), (0, 3, 200, 400), tuple(range(30, 160, 13))])
def test_lines_are_followed_over_broken_connections(
    server: scripted.Server, client: Client, cuts: tuple[int, ...]
) -> None:
    server.on_stream(LOGS, LINES, cuts)

    frames = list(client.stream_task_logs("t-1", stream="stdout", tail=30))

    assert [frame.data for frame in frames] == LINES
    assert server.requests[0].query == {"follow": "true", "stream": "stdout", "tail": "30"}


def test_a_task_is_waited_for_by_its_history(server: scripted.Server, client: Client) -> None:
    server.on("GET", f"{TASKS}/t-1", ROW)
    server.on("GET", f"{TASKS}/t-1", ROW | {"state": "failed_preserved"})
    server.on_stream(LOGS, END)

    assert client.wait_task("t-1", timeout=60).state == "failed_preserved"
    assert [request.path for request in server.requests] == [
        f"{TASKS}/t-1", LOGS, f"{TASKS}/t-1",
    ]  # fmt: skip


def test_what_was_printed_so_far_comes_as_records(server: scripted.Server, client: Client) -> None:
    text = b'{"n": 1, "line": "a\\u2028b", "stream": "stdout"}\n{"n": 2, "line": "c"}\n'
    server.on("GET", LOGS, text, Content_Type="application/x-ndjson")
    server.on("GET", LOGS, b'{"n": 1, "stage": "created"}\n')

    assert [line.line for line in client.task_logs("t-1", since="2h")] == ["a\u2028b", "c"]
    assert [event.stage for event in client.task_events("t-1")] == ["created"]

    assert server.requests[0].headers["accept"] == "application/x-ndjson"
    assert [r.query for r in server.requests] == [
        {"stream": "all", "since": "2h"}, {"stream": "events"},
    ]  # fmt: skip


def test_files_are_listed_and_fetched(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    digest = hashlib.sha256(b"report").hexdigest()
    row = {"path": "out/r.md", "size_bytes": 6, "checksum": f"sha256:{digest}"}
    server.on("GET", f"{TASKS}/t-1/artifacts", {"artifacts": [row], "total_count": 1})
    server.on("GET", f"{TASKS}/t-1/artifacts/out/r.md", b"report", X_Checksum_SHA256=digest)

    [found] = client.task_artifacts("t-1")
    below = client.download_task("t-1", "out/r.md", tmp_path)
    named = client.download_task("t-1", "out/r.md", file=tmp_path / "mine.md")

    assert (found.path, found.size, found.sha256) == ("out/r.md", 6, digest)
    assert below.file == tmp_path / "out" / "r.md"
    assert named.file.read_bytes() == b"report" and named.verified
