from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from knify import errors, model
from knify.agents import base, cursor, registry

STANDIN = Path(__file__).parents[1] / "standin" / "cursor-agent"
ENDED = model.Outcome("exited", 0)


def _no_workspace(path: str) -> bytes:
    raise errors.NotFound


def _plan(prompt: str, session: str | None = None, **spec: Any) -> base.Plan:
    wanted = model.ExecutionSpec("cursor_task", prompt=prompt, **spec)
    return _new().prepare(wanted, _no_workspace, session)


def _new(**told: Any) -> cursor.Cursor:
    return cursor.Cursor(model.Said(**told))


def _fed(adapter: base.Adapter, *events: dict[str, Any]) -> list[base.Event]:
    return [shown for event in events for shown in adapter.feed("stdout", json.dumps(event))]


def _assistant(text: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"type": "assistant", "message": {"content": content}, "session_id": "c1"}


def _result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "result": "AB"} | fields


def _ran(prompt: str, tmp_path: Path, session: str | None = None) -> tuple[Any, ...]:
    """The stand-in on this machine, fed to the adapter: (outcome, events, adapter)."""
    adapter = _new()
    spec = model.ExecutionSpec("cursor_task", prompt=prompt)
    plan = adapter.prepare(spec, _no_workspace, session)
    home, work = tmp_path / "home", tmp_path / "work"
    for folder in (home, work):
        folder.mkdir(exist_ok=True)
    env = os.environ | {"HOME": str(home), "CURSOR_API_KEY": "k"}
    argv = [sys.executable, str(STANDIN), *plan.argv[1:]]
    done = subprocess.run(argv, cwd=work, env=env, capture_output=True, text=True, timeout=60)
    events = []
    for stream, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        for line in text.splitlines():
            events += adapter.feed(stream, line)  # type: ignore[arg-type]
    error = None if done.returncode == 0 else f"exited with code {done.returncode}"
    outcome = adapter.judge(model.Outcome("exited", done.returncode, error))
    return outcome, events + adapter.end(outcome), adapter


def test_it_is_started_headless_with_the_prompt_as_its_last_argument() -> None:
    plan = _plan("Tidy up", model="gpt-5", env={"A": "b"})

    assert plan.argv == (
        *("cursor-agent", "-p", "--output-format", "stream-json", "--force", "--trust"),
        *("--approve-mcps", "--model", "gpt-5", "Tidy up"),
    )
    assert plan.env == {"A": "b"}
    assert plan.title == "Cursor agent executing"


def test_a_conversation_is_resumed_by_its_id() -> None:
    plan = _plan("Go on", "c1")

    assert plan.argv[-3:] == ("--resume", "c1", "Go on")
    assert plan.session_id == "c1"


@pytest.mark.parametrize("prompt", ["-rf is what I typed", "--help", "/clear", "/"])
def test_a_prompt_is_never_an_option_or_a_command_of_its_own(prompt: str) -> None:
    assert _plan(prompt).argv[-1] == f" {prompt}"


def test_a_prompt_longer_than_an_argument_may_be_comes_in_a_file() -> None:
    prompt = "Ü" * 150_000

    plan = _plan(prompt)

    assert plan.files == {"prompt.md": prompt.encode()}
    assert "/run/knify/turn/prompt.md" in plan.argv[-1]
    assert len(plan.argv[-1]) < 200


def test_what_it_tells_becomes_the_neutral_vocabulary(tmp_path: Path) -> None:
    prompt = "SAY I begin\nWRITE src/a.txt: one\\ntwo\nRUN echo out; echo err >&2; exit 3\nSAY Done"

    outcome, events, adapter = _ran(prompt, tmp_path)

    assert [event["type"] for event in events] == [
        *("agent_message", "tool_use", "tool_result"),  # the file lies outside /workspace here
        *("tool_use", "tool_result", "agent_message"),
    ]
    assert events[0]["message"] == "I begin"
    assert events[1] == {
        "type": "tool_use",
        "id": "call_1",
        "tool": "write_file",
        "parameters": {"path": "src/a.txt", "content": "one\ntwo"},
    }
    assert (events[2]["id"], events[2]["status"]) == ("call_1", "success")
    assert events[3]["tool"] == "run_command"
    assert events[4] | {"id": ""} == {
        "type": "tool_result",
        "id": "",
        "status": "error",
        "exit_code": 3,
        "output": "out\nerr\n",
    }
    assert outcome.succeeded
    assert outcome.result == "Done"
    assert outcome.usage == {"input_tokens": 100, "output_tokens": 20}
    assert adapter.said.session_id


def test_a_resumed_conversation_is_the_same_and_a_lost_one_is_told(tmp_path: Path) -> None:
    *_, first = _ran("SAY one", tmp_path)
    session = first.said.session_id

    _, events, second = _ran("RECALL", tmp_path, session)
    _, lost, third = _ran("SAY three", tmp_path, "gone")

    assert second.said.session_id == session
    assert events[0]["message"] == "Before: SAY one"
    assert lost[0]["code"] == "AGENT_SESSION_NOT_FOUND"
    assert third.said.session_id not in (session, "gone")


def test_files_it_creates_are_told_once_and_only_below_the_workspace() -> None:
    def write(path: str) -> dict[str, Any]:
        call = {"writeToolCall": {"args": {"path": path}, "result": {"success": {"path": path}}}}
        return {"type": "tool_call", "subtype": "completed", "call_id": "1", "tool_call": call}

    paths = ["/workspace/a/b.py", "a/b.py", "/etc/passwd", "../x", "/workspace/../y", "./c"]
    events = _fed(_new(), *(write(path) for path in paths))

    assert [e["path"] for e in events if e["type"] == "file_created"] == ["a/b.py", "c"]


def test_what_is_said_twice_in_a_row_is_told_once(tmp_path: Path) -> None:
    _, events, _ = _ran("TWICE a\nSAY b\nSAY a", tmp_path)

    assert [event["message"] for event in events] == ["a", "b", "a"]


def test_tools_of_any_name_pass_through() -> None:
    function = {"function": {"name": "browse", "arguments": '{"url": "x"}'}}
    events = _fed(
        _new(),
        *(
            {"type": "tool_call", "subtype": "started", "call_id": "1", "tool_call": call}
            for call in (function, {"newToolCall": {"args": {"n": 1}}}, {"other": 1}, "odd")
        ),
    )

    assert [(e["tool"], e["parameters"]) for e in events] == [
        *(("browse", {"url": "x"}), ("new", {"n": 1})),
    ]


@pytest.mark.parametrize(
    ("result", "status", "output"),
    [
        ({"rejected": {"reason": "no"}}, "error", "rejected: no"),
        ({"error": {"message": "gone"}}, "error", "error: gone"),
        ({"success": {"content": "text"}}, "success", "text"),
        ({"success": {"totalLines": 3}}, "success", '{"totalLines":3}'),
        ("odd", "error", "{}"),
    ],
)
def test_a_tools_end_is_told_in_words(result: Any, status: str, output: str) -> None:
    call = {"readToolCall": {"args": {}, "result": result}}
    told = _fed(
        _new(), {"type": "tool_call", "subtype": "completed", "call_id": "1", "tool_call": call}
    )

    assert (told[0]["status"], told[0]["output"]) == (status, output)


def test_only_a_result_that_says_ok_and_an_exit_with_0_are_a_success(tmp_path: Path) -> None:
    for prompt, code, says in (
        ("FAIL the model is overloaded", "AGENT_UPSTREAM", "the model is overloaded"),
        ("FAIL odd", "AGENT_FAILED", "odd"),
        ("CODE 3", "AGENT_FAILED", "said that it was done, but exited with code 3"),
        ("NORESULT", "AGENT_NO_RESULT", "exited with code 0 without a result"),
        ("ERR Invalid API key\nNORESULT 1", "AGENT_AUTH", "without a result: Invalid API key"),
    ):
        outcome, events, _ = _ran(prompt, tmp_path)

        assert not outcome.succeeded, prompt
        assert says in (outcome.error or ""), prompt
        assert events[-1] == {"type": "error", "code": code, "message": outcome.error}


def test_one_that_is_ended_after_its_result_has_succeeded() -> None:
    adapter = _new()
    _fed(adapter, _assistant("A"), _assistant("B"), _result())

    outcome = adapter.judge(model.Outcome("lingered", 137, "it did not exit"))

    assert outcome == model.Outcome("lingered", None, None, "B")
    assert outcome.succeeded
    assert not adapter.judge(model.Outcome("cancelled", 143, "by request")).succeeded
    assert not adapter.judge(model.Outcome("timeout", 143, "late")).succeeded
    assert not _new().judge(model.Outcome("lingered", 137, "it did not exit")).succeeded


def test_an_image_without_the_program_is_named() -> None:
    adapter = _new()
    adapter.feed("stderr", "cursor-agent: not found")

    outcome = adapter.judge(model.Outcome("exited", 127, "exited with code 127"))

    assert "no program cursor-agent" in (outcome.error or "")
    assert "KNIFY_AGENTS_IMAGE" in (outcome.error or "")
    assert adapter.end(outcome)[-1]["code"] == "AGENT_MISSING"


def test_whoever_takes_over_goes_on_with_what_was_told() -> None:
    first = _new()
    _fed(first, {"type": "system", "subtype": "init", "session_id": "c1"}, _assistant("A"))
    taker = registry.adapter("cursor_task", "n", first.said)

    told = _fed(taker, _assistant("A"), _assistant("B"))
    _fed(taker, _result(usage={"inputTokens": 5}))
    last = registry.adapter("cursor_task", "n", taker.said)

    assert [event["message"] for event in told] == ["B"]
    outcome = last.judge(ENDED)
    assert (outcome.succeeded, outcome.result, outcome.usage) == (True, "B", {"input_tokens": 5})


def test_lines_of_other_forms_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    outcome, events, _ = _ran("GARBAGE\nSAY fine", tmp_path)

    assert outcome.succeeded
    assert [event["type"] for event in events] == ["agent_message", "warning"]
    assert events[1]["code"] == "AGENT_OUTPUT"
    assert events[1]["message"].startswith("3 lines")


def test_what_it_prints_on_stderr_is_progress() -> None:
    assert _new().feed("stderr", "careful") == [
        {"type": "progress", "message": "careful", "stream": "stderr"}
    ]


def test_deep_and_long_values_are_cut() -> None:
    deep: Any = "x"
    for _ in range(50):
        deep = [deep]
    call = {"writeToolCall": {"args": {"path": "a", "fileText": "y" * 10**6, "deep": deep}}}

    told = _fed(
        _new(), {"type": "tool_call", "subtype": "started", "call_id": "1", "tool_call": call}
    )

    assert len(json.dumps(told)) < 20_000
    assert _new().feed("stdout", "[" * 10**5) == []
    assert _new().feed("stdout", '{"a":' * 10**5) == []
