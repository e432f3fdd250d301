"""Redis fails for a moment over a running command: nothing that it printed or told is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from knify import ledger
from knify.lifecycle import State
from knify.services import jobs
from tests.runner.rig import OUT, Rig, Worker


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURSOR_API_KEY", "k")
    monkeypatch.setattr(ledger, "_RETRY", 0.01)


def fail_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, when: str, is_it: Callable[..., bool]
) -> list[str]:
    """The first such call of a script fails, before or after it did its work."""
    scripts, failed = rig.core.store.executions._scripts, list[str]()
    call = scripts.call

    def hiccup(name: str, *arguments: Any) -> Any:
        if failed or not is_it(name, *arguments):
            return call(name, *arguments)
        failed.append(name)
        if when == "after":
            call(name, *arguments)
        raise redis.ConnectionError("for a moment")

    monkeypatch.setattr(scripts, "call", hiccup)
    return failed


def agent(rig: Rig, *events: dict[str, Any]) -> str:
    """A job whose agent prints these."""
    options = ("-p", "--output-format", "stream-json", "--force", "--trust", "--approve-mcps")
    printed = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    argv = ("cursor-agent", *options, "--model", "auto", "Go")
    rig.script(*argv, steps=[(0, OUT, printed)])
    request = jobs.Submission({"job_type": "cursor_task", "prompt": "Go"})
    return jobs.submit(rig.core, "default", request).execution.id


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_an_agent_told_is_told_once_when_redis_fails_over_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = {"path": "/workspace/a.txt"}
    write = {"writeToolCall": {"args": path, "result": {"success": path}}}
    job = agent(
        rig,
        {"type": "system", "subtype": "init", "session_id": "c1"},
        {"type": "assistant", "message": {"content": [{"type": "text", "text": "All done"}]}},
        {"type": "tool_call", "subtype": "completed", "call_id": "1", "tool_call": write},
        {"type": "result", "subtype": "success", "is_error": False, "result": "x"},
    )
    failed = fail_once(rig, monkeypatch, when, lambda name, *_: name == "append")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert failed == ["append"]
    assert (x.state, x.session_id) == (State.COMPLETED, "c1"), x.error
    events = [event for entry in rig.core.store.streams.output(job) for event in entry.events]
    kinds = [event["type"] for event in events]
    assert kinds == ["agent_message", "tool_result", "file_created", "completed"]
    assert len(rig.lines(job)) == 4


def test_that_output_is_cut_is_said_also_when_redis_fails_over_that(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(rig.core.settings, "output_bytes", 1000)
    rig.script("much", steps=[(0, OUT, b"x" * 99 + b"\n")] * 19)
    job = rig.submit("much")
    failed = fail_once(rig, monkeypatch, "before", lambda name, *words: "output_truncated" in words)

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert failed == ["transition"]
    assert rig.stages(job).count("output_truncated") == 1
