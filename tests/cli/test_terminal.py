"""What people see: real terminals of 80 columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.cli import terminal
from tests.client import scripted

Knify = Callable[..., AbstractContextManager[terminal.Terminal]]

CTRL_C = b"\x03"
OLD = "2026-01-31T10:00:00.123Z"
LONG = "a very long name with 漢字 in it " * 10
OUTPUT = [{"type": "agent_message", "message": "hello"}, {"type": "completed", "status": "x"}]


@pytest.fixture
def knify(server: scripted.Server, here: Path) -> Knify:
    """Runs `knify …` in a terminal against the scripted server."""
    env = {"KNIFY_URL": server.url, "KNIFY_API_KEY": "knify_test_a_b"}
    return lambda *words: terminal.running(*words, cwd=here, **env)


def waiting_job(server: scripted.Server) -> contextlib.ExitStack:
    """A job that waits until the block ends."""
    server.on("POST", "/jobs", {"job_id": "job_1", "status": "pending"})
    server.on_job("job_1", "pending", queue_position=3, pending_reason="no free slot on any node")
    open_streams = contextlib.ExitStack()
    for kind in ("events", "output"):
        open_streams.enter_context(scripted.silence(server, f"/jobs/job_1/{kind}/stream"))
    return open_streams


DIGITS = "06b2k" + "z" * 21
PATH = f"/workspaces/{'n' * 45}"
ROWS: dict[str, dict[str, Any]] = {
    "jobs": {"id": f"job_{DIGITS}", "status": "completed", "name": LONG, "exit_code": 137},
    "workspaces": {"path": PATH, "version": 1234, "size_bytes": 2**31},
    "sandboxes": {"id": f"sandbox_{DIGITS}", "state": "archiving", "image": LONG},
    "keys": {"id": DIGITS[:16], "name": LONG, "scopes": ["read", "write", "admin"]},
    "nodes": {"name": LONG, "state": "draining", "archived": 10_000},
}
ALL_LISTS = """
import sys
from knify.cli import main
for what in sys.argv[1:]:
    main.cli([what, "list"], standalone_mode=False)
"""


def test_a_row_is_a_line_of_at_most_80_columns(server: scripted.Server, knify: Knify) -> None:
    more = {"workspace_id": f"workspace_{DIGITS}", "created_at": OLD, "tier": "enterprise"}
    for what, row in ROWS.items():
        server.on("GET", f"/{what}", [row | more] * 2)

    with knify("-c", ALL_LISTS, *ROWS) as shown:
        assert shown.end() == 0

    lines = shown.text.splitlines()
    assert len(lines) == 3 * len(ROWS), shown.text
    assert all(cell_len(line) <= 80 for line in lines), shown.text
    # What one copies is whole.
    for id_ in (ROWS["jobs"]["id"], ROWS["sandboxes"]["id"], PATH):
        assert shown.text.count(id_) == 2


def test_an_upload_and_the_downloads_have_bars(
    server: scripted.Server, knify: Knify, here: Path
) -> None:
    (here / "demo").mkdir()
    (here / "demo/file").write_bytes(bytes(3_000_000))
    server.on("POST", "/workspaces", {"path": "/workspaces/demo", "version": 2})
    server.on("GET", "/jobs/job_1/artifacts/evil\x1b[31m.txt".replace("\x1b[", "%1B%5B"), b"x" * 9)
    server.on_job("job_1", files=["evil\x1b[31m.txt"])

    with knify("workspaces", "push", "demo") as up:
        assert up.end() == 0
    with knify("jobs", "download", "job_1") as down:
        assert down.end() == 0

    assert "upload demo" in up.text
    assert up.text.rstrip().endswith("/workspaces/demo, version 2")
    assert "9 bytes" in down.text or "9/9" in down.text
    assert "\x1b[31m.txt" not in down.raw


def test_following_says_why_a_job_waits_and_then_what_it_does(
    server: scripted.Server, knify: Knify
) -> None:
    with waiting_job(server) as waits, knify("run", "sleep 1", "--no-download") as shown:
        shown.until("… waiting, place 3 in line: no free slot on any node")
        server.on_stream(
            "/jobs/job_1/events/stream", [{"stage": "completed", "state": "completed"}]
        )
        server.on_stream("/jobs/job_1/output/stream", [{"stream": "stdout", "line": "hello"}])
        server.on_job("job_1", "completed")
        for path in ("/jobs/job_1", "/jobs/job_1/events/stream", "/jobs/job_1/output/stream"):
            server.skip("GET", path)
        waits.close()
        shown.until("✓ completed")
        assert shown.end() == 0

    assert "\nhello\n" in shown.text


@pytest.mark.parametrize("words", [("run", "sleep 100"), ("jobs", "logs", "job_1", "--follow")])
def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(
    server: scripted.Server, knify: Knify, words: tuple[str, ...]
) -> None:
    with waiting_job(server), knify(*words) as shown:
        shown.until("waiting, place 3")
        shown.press(CTRL_C)
        assert shown.end() == 130

    assert "knify jobs logs job_1 --follow" in shown.text
    assert "Traceback" not in shown.text
    assert not server.seen("POST", "/jobs/job_1/cancel")


ALL_WEBHOOKS = """
from knify.cli import main
main.cli(["webhooks", "list"], standalone_mode=False)
main.cli(["webhooks", "deliveries", "w"], standalone_mode=False)
"""


def test_what_one_reads_a_table_for_is_never_cut(server: scripted.Server, knify: Knify) -> None:
    url, error = f"https://example.com/{'u' * 55}", "the receiver said: " + "no " * 15
    hook = {"webhook_id": f"webhook_{DIGITS}", "url": url, "active": True, "name": LONG}
    sent = {"delivery_id": f"delivery_{DIGITS}", "type": "job.completed", "status": "failed"}
    server.on("GET", "/webhooks", [hook])
    server.on("GET", "/webhooks/w/deliveries", [sent | {"error": error, "attempts": 3}])

    with knify("-c", ALL_WEBHOOKS) as shown:
        assert shown.end() == 0

    for text in (url, error.rstrip(), hook["webhook_id"], sent["delivery_id"]):
        assert str(text) in shown.text
    assert all(cell_len(line) <= 80 for line in shown.text.splitlines()), shown.text
