"""What is true of every agent that prints JSON, whichever vendor's."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import model
from knify.agents import base, models
from tests.agents import speaking

KINDS = ("claude_task", "codex_task", "cursor_task", "gemini_task")
BEHIND_THE_GATEWAY = ("claude_task", "codex_task", "gemini_task")
PROGRAMS = {kind: kind.partition("_")[0] for kind in BEHIND_THE_GATEWAY}
SESSION = "0f0e0d0c-0b0a-4908-8706-050403020100"
#: A good end, and a bad one, as each agent tells them.
GOOD: dict[str, dict[str, Any]] = {
    "claude_task": {"type": "result", "subtype": "success", "is_error": False, "result": "x"},
    "codex_task": {"type": "turn.completed", "usage": {}},
    "cursor_task": {"type": "result", "subtype": "success", "is_error": False, "result": "x"},
    "gemini_task": {"type": "result", "status": "success", "stats": {}},
}
BAD: dict[str, dict[str, Any]] = {
    "claude_task": {"type": "result", "subtype": "success", "is_error": True, "result": "odd"},
    "codex_task": {"type": "turn.failed", "error": {"message": "odd"}},
    "cursor_task": {"type": "result", "subtype": "error", "is_error": True, "result": "odd"},
    "gemini_task": {"type": "result", "status": "error", "error": {"message": "odd"}},
}


def _message(kind: str, text: str) -> dict[str, Any]:
    content = {"message": {"content": [{"type": "text", "text": text}]}}
    return {
        "claude_task": {"type": "assistant", **content},
        "codex_task": {"type": "item.completed", "item": {"type": "agent_message", "text": text}},
        "cursor_task": {"type": "assistant", **content},
        "gemini_task": {"type": "message", "role": "assistant", "content": text, "delta": True},
    }[kind]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_only_a_result_that_says_ok_and_an_exit_with_0_are_a_success(kind: str) -> None:
    for events, code, says in (
        ([GOOD[kind]], 0, None),
        ([GOOD[kind]], 3, "said that it was done, but exited with code 3"),
        ([BAD[kind]], 0, "odd"),
        ([BAD[kind]], 1, "odd"),
        ([], 0, "without a result"),
        ([], 1, "without a result"),
        ([BAD[kind], GOOD[kind]], 0, None),
    ):
        adapter = speaking.new(kind)
        speaking.fed(adapter, _message(kind, "hello"), *events)
        error = None if code == 0 else f"exited with code {code}"

        outcome, told = speaking.ended(adapter, model.Outcome("exited", code, error))

        assert outcome.succeeded == (says is None), (events, code)
        assert (says or "") in (outcome.error or "")
        assert outcome.result == "hello"
        assert [event["type"] for event in told].count("error") == (says is not None)


def test_one_that_is_ended_after_its_result_has_succeeded(kind: str) -> None:
    adapter = speaking.new(kind)
    speaking.fed(adapter, _message(kind, "done"), GOOD[kind])

    outcome, _ = speaking.ended(adapter, model.Outcome("lingered", 137, "it did not exit"))

    assert (outcome.succeeded, outcome.exit_code, outcome.result) == (True, None, "done")
    for odd in ("cancelled", "timeout", "hang", "oom_killed"):
        assert not adapter.judge(model.Outcome(odd, 143, "why")).succeeded


def test_an_image_without_the_program_is_named(kind: str) -> None:
    adapter = speaking.new(kind)
    program = PROGRAMS.get(kind, "cursor-agent")
    adapter.feed("stderr", f"exec: {program}: not found")

    outcome, told = speaking.ended(adapter, model.Outcome("exited", 127, "exited with code 127"))

    assert f"no program {program}" in (outcome.error or "")
    assert told[-1]["code"] == "AGENT_MISSING"


def test_whoever_takes_over_goes_on_with_what_was_told(kind: str) -> None:
    events = [_message(kind, "A"), _message(kind, "B"), {"type": "new"}, GOOD[kind]]
    whole = speaking.new(kind)
    once = speaking.fed(whole, *events) + speaking.ended(whole)[1]

    for at in range(len(events)):
        first = speaking.new(kind)
        told = speaking.fed(first, *events[:at])
        assert first.said is not None
        taker = speaking.new(kind)
        taker.said = first.said  # type: ignore[misc]
        told += speaking.fed(taker, *events[at:])
        outcome, last = speaking.ended(taker)

        assert told + last == once
        assert outcome == speaking.ended(whole)[0]


def test_lines_of_other_forms_are_counted_and_harm_nothing(kind: str) -> None:
    adapter = speaking.new(kind)

    told = speaking.fed(adapter, "no JSON", '{"type": ', "[1]", "", '{"type": "new"}', GOOD[kind])
    outcome, last = speaking.ended(adapter)

    assert told == []
    assert outcome.succeeded
    assert last[0]["message"].startswith("3 lines")
    assert adapter.own_line("stdout", "no JSON") == "no JSON"


def test_what_it_prints_on_stderr_is_progress(kind: str) -> None:
    told = speaking.new(kind).feed("stderr", "careful")

    assert told == [{"type": "progress", "message": "careful", "stream": "stderr"}]


@pytest.mark.parametrize("agent", BEHIND_THE_GATEWAY)
def test_it_finds_its_models_at_the_gateway_and_no_key(agent: str) -> None:
    plan = speaking.plan(agent, env={"A": "b", "ANTHROPIC_BASE_URL": "http://evil"})

    keys = {name: value for name, value in plan.env.items() if name.endswith("_API_KEY")}
    urls = {name: value for name, value in plan.env.items() if name.endswith("_BASE_URL")}
    assert set(keys.values()) == {models.NO_KEY}
    assert plan.env["A"] == "b"
    if agent == "claude_task":
        assert urls == {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8119/anthropic"}


@pytest.mark.parametrize("agent", BEHIND_THE_GATEWAY)
@pytest.mark.parametrize(
    ("prompt", "sent"), [("/cost", " /cost"), ("-x", "-x"), ("Ü" * 150_000, None)]
)
def test_a_prompt_comes_by_stdin_and_is_no_command_of_its_own(
    agent: str, prompt: str, sent: str | None
) -> None:
    plan = speaking.plan(agent, prompt)

    assert plan.stdin is not None
    assert plan.files[plan.stdin].decode() == (sent or prompt)
    assert not any(prompt in word for word in plan.argv)


@pytest.mark.parametrize("agent", ["claude_task", "gemini_task"])
def test_a_new_conversation_has_an_id_of_our_choice(agent: str) -> None:
    first, second = speaking.plan(agent), speaking.plan(agent)

    assert first.argv[-2:] == ("--session-id", first.session_id)
    assert first.session_id != second.session_id


@pytest.mark.parametrize("agent", BEHIND_THE_GATEWAY)
def test_one_that_the_user_named_is_resumed_and_nothing_else(agent: str) -> None:
    plan = speaking.plan(agent, session=SESSION, session_id=SESSION)

    resume = ("resume",) if agent == "codex_task" else ("--resume",)
    assert plan.argv[0] == PROGRAMS[agent]
    assert {*resume, SESSION} <= set(plan.argv)
    assert plan.session_id == SESSION


_KEPT = {
    "claude_task": f".claude/projects/-workspace/{SESSION}.jsonl",
    "codex_task": f".codex/sessions/2026/01/02/rollout-2026-01-02T03-04-05-{SESSION}.jsonl",
    "gemini_task": f".gemini/tmp/workspace/chats/session-2026-01-02T03-04-{SESSION[:8]}.jsonl",
}


@pytest.mark.parametrize("agent", BEHIND_THE_GATEWAY)
def test_one_that_is_inherited_is_resumed_if_it_is_there(agent: str, tmp_path: Path) -> None:
    plan = speaking.plan(agent, 'it\'s "quoted"', session=SESSION, system_prompt="it's; $(x)")
    assert plan.argv == (base.BUSYBOX, "sh", f"{base.TURN}/begin.sh")
    program = tmp_path / "bin" / PROGRAMS[agent]
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{program.parent}:/usr/bin:/bin"}

    def ran() -> list[str]:
        script = plan.files["begin.sh"].decode()
        done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    new = ran()
    (tmp_path / _KEPT[agent]).parent.mkdir(parents=True)
    (tmp_path / _KEPT[agent]).write_text("{}")
    resumed = ran()

    adapter = speaking.new(agent, session_id=SESSION)
    told = adapter.feed("stdout", new[0])
    assert told[0]["code"] == "AGENT_SESSION_NOT_FOUND"
    assert adapter.own_line("stdout", new[0]) is None
    assert ("resume" in resumed) or ("--resume" in resumed)
    assert SESSION in resumed
    assert not {"resume", "--resume"} & set(new)


_TYPES = (
    *("assistant", "user", "system", "result", "tool_call", "init", "message", "tool_use"),
    *("tool_result", "error", "thread.started", "item.started", "item.completed"),
    *("turn.completed", "turn.failed", "x"),
)
_PARTS = ("text", "tool_use", "tool_result", "command_execution", "file_change", "mcp_tool_call")
_FIELDS = (
    *("subtype", "role", "message", "content", "delta", "item", "tool_use_result", "status"),
    *("is_error", "result", "usage", "stats", "error", "session_id", "thread_id", "tool_name"),
    *("tool_id", "parameters", "mcp_servers", "errors", "model_usage_since_last_result", "id"),
    *("error_status", "attempt", "tool_call", "text", "name", "input", "command", "changes"),
    *("exit_code", "filePath", "costUSD", "input_tokens", "server", "tool", "arguments"),
)
_WORDS = (
    "success",
    "init",
    "api_retry",
    "completed",
    "assistant",
    "create",
    "\ud800",
    "/workspace/a",
)
_ODD = (None, True, False, 0, -1, 2**80, 1e308, "", [], {}, *_WORDS)


def _odd(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON, with names and words that mean something."""
    kind = chance.randrange(4) if depth < 4 else 0
    if kind == 1:
        return [_odd(chance, depth + 1) for _ in range(chance.randrange(3))]
    if kind > 1:
        named = chance.sample(_FIELDS, chance.randrange(10))
        types = {"type": chance.choice((*_TYPES, *_PARTS, *_WORDS))}
        return types | {name: _odd(chance, depth + 1) for name in named}
    return chance.choice(_ODD)


def _event(chance: random.Random) -> dict[str, Any]:
    fields = {name: _odd(chance, 1) for name in chance.sample(_FIELDS, 12)}
    return fields | {"type": chance.choice(_TYPES)}


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_it_prints_can_break_the_reading(kind: str, seed: int) -> None:
    chance, adapter = random.Random(seed), speaking.new(kind)

    events = [_event(chance) for _ in range(40)]
    told = speaking.fed(adapter, *events)
    outcome, last = speaking.ended(adapter)

    stored = json.dumps([told, last], allow_nan=False, ensure_ascii=False)
    stored.encode()  # no lone surrogates
    assert outcome.cost_usd is None or outcome.cost_usd >= 0
