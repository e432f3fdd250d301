"""An agent's turn on the real runner, watcher and Redis: conversations, credentials, ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from knify import follow
from knify.lifecycle import TERMINAL, State
from knify.services import jobs, packing
from knify.store import keys
from tests.runner.rig import ERR, OUT, Rig, Worker, die, eventually

KEY = "key-of-the-operator"
INIT = {"type": "system", "subtype": "init", "session_id": "c1"}
RESULT = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "x",
    "usage": {"inputTokens": 7, "outputTokens": 2},
}


@pytest.fixture(autouse=True)
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as own:  # a test may undo its own
        own.setenv("CURSOR_API_KEY", KEY)
        yield


def said(text: str) -> dict[str, Any]:
    return {"type": "assistant", "message": {"content": [{"type": "text", "text": text}]}}


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def agent(rig: Rig, prompt: str, *events: dict[str, Any], resume: str = "", **script: Any) -> None:
    """What the agent prints for this prompt."""
    resumed = ("--resume", resume) if resume else ()
    options = ("--output-format", "stream-json", "--force", "--trust", "--approve-mcps")
    argv = ("cursor-agent", "-p", *options, "--model", "auto", *resumed, prompt)
    rig.script(*argv, steps=[(0, OUT, lines(*events))], **script)


def submit(rig: Rig, prompt: str, parent: str = "", **spec: Any) -> str:
    request = jobs.Submission({"job_type": "cursor_task", "prompt": prompt} | spec)
    if parent:
        return jobs.continue_(rig.core, "default", parent, request).execution.id
    return jobs.submit(rig.core, "default", request).execution.id


def output(rig: Rig, job: str) -> list[dict[str, Any]]:
    return [event for entry in rig.core.store.streams.output(job) for event in entry.events]


def test_an_agents_turn_is_told_from_its_start_to_its_result(rig: Rig) -> None:
    agent(rig, "Go", INIT, said("Hello"), RESULT, files={"a.txt": b"a"})
    job = submit(rig, "Go")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.exit_code, x.error) == (State.COMPLETED, 0, None)
    assert (x.session_id, x.usage) == ("c1", {"input_tokens": 7, "output_tokens": 2})
    told = [{k: v for k, v in event.items() if k != "timestamp"} for event in output(rig, job)]
    assert told == [
        {"type": "agent_message", "message": "Hello"},
        {"type": "file_created", "path": "a.txt"},
        {
            "type": "completed",
            "status": "completed",
            "exit_code": 0,
            "result": "Hello",
            "usage": {"input_tokens": 7, "output_tokens": 2},
        },
    ]
    assert "Cursor agent executing" in [
        event.detail for event in rig.core.store.streams.events(job)
    ]


def test_a_file_that_the_agent_told_of_is_not_told_again_at_the_end(rig: Rig) -> None:
    path = {"path": "/workspace/a.txt"}
    call = {"writeToolCall": {"args": path, "result": {"success": path}}}
    wrote = {"type": "tool_call", "subtype": "completed", "call_id": "1", "tool_call": call}
    agent(rig, "Go", INIT, wrote, RESULT, files={"a.txt": b"a", "b.txt": b"b"})
    job = submit(rig, "Go")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    created = [event["path"] for event in output(rig, job) if event["type"] == "file_created"]
    assert created == ["a.txt", "b.txt"]


def test_the_operators_key_reaches_the_agent_and_nothing_that_is_stored(rig: Rig) -> None:
    agent(rig, "Go", INIT, said(f"my key is {KEY}"), RESULT)
    job = submit(rig, "Go")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    (box,) = rig.host.containers.values()
    assert box.turns[0].env["CURSOR_API_KEY"] == KEY
    assert output(rig, job)[0]["message"] == "my key is ***"
    packing.pack(rig.core, job)
    client = rig.core.store.client
    stored = [client.dump(key) for key in client.scan_iter("*")]
    assert not any(KEY in repr(value) for value in stored)
    folder = rig.core.settings.home / "objects"
    assert not any(
        KEY.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file()
    )


def test_a_node_without_the_key_fails_the_job_and_names_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(rig, "Go")
    monkeypatch.delenv("CURSOR_API_KEY")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (
        State.FAILED,
        "this node has no CURSOR_API_KEY, which cursor_task needs",
    )


def test_a_continuation_resumes_a_conversation_that_began_after_it_was_submitted(rig: Rig) -> None:
    agent(rig, "Go", INIT, RESULT)
    agent(rig, "On", INIT, RESULT, resume="c1")
    rig.script("true")
    first = submit(rig, "Go")
    request = jobs.Submission({"job_type": "command_task", "command": ["true"]})
    between = jobs.continue_(rig.core, "default", first, request).execution.id
    second = submit(rig, "On", parent=between)
    assert rig.job(second).session_id is None

    worker = Worker(rig)
    for job in (first, between, second):
        worker.advance(job)
        assert rig.ended(job).state is State.COMPLETED, job

    assert rig.job(between).session_id is None
    assert rig.job(second).session_id == "c1"


def test_an_agent_that_does_not_exit_after_its_result_is_ended_and_has_succeeded(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_LINGER", 0.05)
    agent(rig, "Go", INIT, said("Done"), RESULT, hangs=True)
    job = submit(rig, "Go")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.exit_code, x.error) == (State.COMPLETED, None, None)
    assert x.outcome is not None
    assert (x.outcome.kind, x.outcome.result) == ("lingered", "Done")


def test_one_that_hangs_without_a_result_is_not_ended_by_that(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_LINGER", 0.01)
    agent(rig, "Go", INIT, said("Hm"), hangs=True)
    job = submit(rig, "Go", timeout="1s")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, "timed out after 1 s")
    assert output(rig, job)[-2]["code"] == "AGENT_TIMEOUT"


def test_whoever_takes_over_knows_what_the_agent_had_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_LINGER", 3_600)
    agent(rig, "Go", INIT, said("Done"), RESULT, hangs=True)
    job, first = submit(rig, "Go"), Worker(rig)
    first.advance(job)
    eventually(lambda: (told := rig.job(job).said) and told.verdict)
    first.vanish()
    monkeypatch.setattr(follow, "_LINGER", 0.05)

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.usage) == (State.COMPLETED, {"input_tokens": 7, "output_tokens": 2})
    assert rig.starts(job) == 1
    assert len([event for event in output(rig, job) if event["type"] == "agent_message"]) == 1


@pytest.mark.sampled(3)
@pytest.mark.parametrize("n", range(12, 32, 2))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_any_call_loses_and_doubles_nothing_that_an_agent_told(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{i} " + "x" * 100_000 for i in range(3)]  # each longer than what is shown at once
    agent(rig, "Go")
    argv = next(argv for argv in rig.host.scripts if argv[-1] == "Go")
    told = [INIT, *(said(word) for word in words), RESULT]
    rig.host.scripts[argv].steps = [(0.001, OUT, lines(event)) for event in told]
    job, victim = submit(rig, "Go"), Worker(rig)
    die(rig, victim, n, when, monkeypatch)

    victim.advance(job)
    eventually(lambda: victim.died.is_set() or rig.job(job).state in TERMINAL)
    monkeypatch.undo()
    victim.vanish()
    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.session_id, rig.starts(job)) == (State.COMPLETED, "c1", 1)
    assert ((x.outcome and x.outcome.result) or "")[:2] == "2 "
    messages = [event["message"] for event in output(rig, job) if event["type"] == "agent_message"]
    assert [message[:2] for message in messages] == ["0 ", "1 ", "2 "]
    assert "".join(rig.lines(job)) == lines(*told).decode().replace("\n", "")


def test_a_long_line_is_read_whole_and_shown_in_pieces(rig: Rig) -> None:
    text = "ü" * 120_000
    call = {"writeToolCall": {"args": {"path": "a", "fileText": text}}}
    wrote = {"type": "tool_call", "subtype": "started", "call_id": "1", "tool_call": call}
    agent(rig, "Go", INIT, wrote, RESULT)
    job = submit(rig, "Go")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert "".join(rig.lines(job)) == lines(INIT, wrote, RESULT).decode().replace("\n", "")
    (use,) = [event for event in output(rig, job) if event["type"] == "tool_use"]
    assert use["parameters"]["content"].startswith("üüü")


def test_a_line_that_nobody_could_keep_costs_its_event_only(rig: Rig) -> None:
    agent(rig, "Go")
    argv = next(argv for argv in rig.host.scripts if argv[-1] == "Go")
    rig.host.scripts[argv].steps = [
        (0, OUT, lines(INIT) + b'{"x": "' + b"y" * 5_000_000 + b'"}\n'),
        (0, ERR, b"\xff\xfe\n"),
        (0, OUT, lines(said("Still here"), RESULT)),
    ]
    job = submit(rig, "Go")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    kinds = [event["type"] for event in output(rig, job)]
    assert kinds.count("agent_message") == 1
    assert kinds[-2:] == ["warning", "completed"]


def test_a_packed_job_still_shows_its_conversation_and_usage(rig: Rig) -> None:
    agent(rig, "Go", INIT, RESULT)
    job = submit(rig, "Go")
    Worker(rig).advance(job)
    rig.ended(job)

    assert packing.pack(rig.core, job)

    x = rig.job(job)
    assert x.packed
    assert (x.session_id, x.usage) == ("c1", {"input_tokens": 7, "output_tokens": 2})
    assert "row" in rig.core.store.client.hgetall(keys.execution(job))
