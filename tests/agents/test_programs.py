"""The real programs of agents, of the versions that our image pins, against a stub of their models.

They come from npm, once, into a folder outside of this checkout (`~/.cache/knify`). Nobody but the
stub is asked for anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents import programs
from tests.agents.programs import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = ("claude_task", "codex_task", "gemini_task")
MODELS = {"gemini_task": "gemini-2.5-pro"}  # left to itself it asks one model which to take
GONE = "99999999-9999-4999-8999-999999999999"
_FAULTS = {"401": "AGENT_AUTH", "429": "AGENT_RATE_LIMITED", "500": "AGENT_UPSTREAM"}
_ODD = ("half", "garbage")  # an empty answer ends a turn, and well, says each of them


@pytest.fixture(scope="module")
def path() -> str:
    return f"{programs.installed()}:{os.environ['PATH']}"


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path, path: str) -> Iterator[Desk]:
    with programs.desk(tmp_path, request.param, path) as made:
        made.model = MODELS.get(request.param)
        yield made


def test_it_works_by_tools_and_the_next_turn_knows_of_it(desk: Desk) -> None:
    first = desk.run("SAY I begin\nWRITE src/a.txt: one\\ntwo\nRUN cat src/a.txt; exit 3\nSAY Done")
    second = desk.run("RECALL", first.said.session_id)

    assert first.outcome.succeeded, first.stderr
    assert first.messages == ["I begin", "Done"]
    assert [event["tool"] for event in first.of("tool_use")][1] == "run_command"
    assert (desk.work / "src/a.txt").read_text().rstrip("\n") == "one\ntwo"
    assert "two" in first.of("tool_result")[1]["output"]
    assert second.said.session_id == first.said.session_id
    assert "SAY I begin" in second.messages[-1]
    if desk.kind != "codex_task":
        assert first.outcome.usage is not None
        spent = sum(one.tokens.into for one in desk.server.asked if one.tokens)
        both = [turn.outcome.usage or {} for turn in (first, second)]
        assert sum(usage["input_tokens"] for usage in both) == pytest.approx(spent, abs=10)


def test_a_conversation_that_is_not_there_begins_anew_if_it_was_inherited(desk: Desk) -> None:
    inherited = desk.run("SAY hello", GONE)
    named = desk.run("SAY hello", session_id=GONE.replace("9", "8"))

    assert (inherited.outcome.succeeded, inherited.messages) == (True, ["hello"])
    assert inherited.codes[0] == "AGENT_SESSION_NOT_FOUND"
    assert not named.outcome.succeeded
    assert named.codes[-1] == "AGENT_SESSION_NOT_FOUND"


@pytest.mark.parametrize("fault", _FAULTS)
def test_a_model_that_fails_ends_the_turn_in_time_and_is_named(desk: Desk, fault: str) -> None:
    turn = desk.run(f"SAY hello\nRUN true\nFAULT {fault}")

    assert not turn.outcome.succeeded
    assert turn.codes[-1] == _FAULTS[fault], turn.outcome.error
    assert turn.messages == ["hello"]
    assert len(desk.server.asked) < 12


@pytest.mark.parametrize("fault", _ODD)
def test_a_model_that_answers_nothing_of_use_is_no_success(desk: Desk, fault: str) -> None:
    turn = desk.run(f"SAY hello\nRUN true\nFAULT {fault}")

    assert not turn.outcome.succeeded, turn.events
    assert turn.codes[-1].startswith("AGENT_")
    assert turn.messages == ["hello"]
    assert len(desk.server.asked) < 20


@pytest.mark.parametrize("prompt", ["/cost", "/quit", "-x", "!ls"])
def test_no_prompt_is_a_command_of_its_own(desk: Desk, prompt: str) -> None:
    turn = desk.run(prompt)

    assert turn.outcome.succeeded
    assert desk.server.asked


def test_a_prompt_of_300_kb_arrives_whole(desk: Desk) -> None:
    turn = desk.run("SAY fine\n" + "word " * 60_000 + "\nlast words")

    assert (turn.outcome.succeeded, turn.messages) == (True, ["fine"])
    assert "last words" in json.dumps(desk.server.asked[-1].body)


def test_a_prompt_names_files_and_images_of_the_workspace(desk: Desk) -> None:
    (desk.work / "note.md").write_text("the word is xyzzy\n")
    (desk.work / "shot.png").write_bytes(_picture())

    turn = desk.run("See @shot.png and @note.md, not @nobody or me@example.com\nSAY seen")

    assert turn.messages == ["seen"]
    sent = json.dumps(desk.server.asked[-1].body)
    assert "iVBORw0KGgo" in sent
    assert "xyzzy" in sent or desk.kind == "codex_task"  # it reads texts by its tools


def test_a_system_prompt_reaches_the_model_in_each_turn_for_itself(desk: Desk) -> None:
    first = desk.run("SAY a", system_prompt="Mind the fjörds 🌊")
    second = desk.run("SAY b", first.said.session_id, system_prompt="Mind the glaciers")

    assert first.outcome.succeeded
    assert second.outcome.succeeded
    bodies = [json.dumps(one.body, ensure_ascii=False) for one in desk.server.asked]
    assert "Mind the fjörds 🌊" in bodies[0]
    assert "Mind the glaciers" in bodies[-1]


def test_a_system_prompt_of_64_thousand_characters_arrives_whole(desk: Desk) -> None:
    turn = desk.run("SAY a", system_prompt="海" * 65_530 + "finis")

    assert turn.outcome.succeeded, turn.stderr
    assert "海finis" in json.dumps(desk.server.asked[-1].body, ensure_ascii=False)


def test_servers_of_tools_are_started(desk: Desk) -> None:
    server = Path(__file__).with_name("mcp_server.py")
    python = {"command": "python3", "args": [str(server)]}
    mcp = {"mcpServers": {"stub": python, "broken": {"command": "/none"}}}

    model = {"model": "gpt-5"} if desk.kind == "codex_task" else {}  # newer ones look for them

    turn = desk.run("SAY hello", mcp_config=mcp, **model)

    assert turn.outcome.succeeded, turn.stderr
    assert "answer_everything" in json.dumps(desk.server.asked[-1].body)
    assert (
        "AGENT_MCP" in turn.codes or desk.kind != "claude_task"
    )  # the others keep it to themselves


def test_servers_of_tools_are_given_secrets_that_their_variables_name(desk: Desk) -> None:
    desk.env["STUB_TOKEN"] = "s3cr3t-of-the-job"
    server = Path(__file__).with_name("mcp_server.py")
    given = {"STUB_TOKEN": "${STUB_TOKEN}", "OTHER": "plain"}
    stub = {"command": "python3", "args": [str(server)], "env": given}

    model = {"model": "gpt-5"} if desk.kind == "codex_task" else {}
    turn = desk.run("SAY hello", mcp_config={"mcpServers": {"stub": stub}}, **model)

    assert turn.outcome.succeeded, turn.stderr
    name = f"answer_{hashlib.sha256(b's3cr3t-of-the-job').hexdigest()[:12]}"
    assert name in json.dumps(desk.server.asked[-1].body)


def test_only_the_tools_that_are_allowed_are_offered(desk: Desk) -> None:
    if desk.kind == "codex_task":
        pytest.skip("it has no such option")

    turn = desk.run("SAY hello", allowed_tools=("read_file", "list_files", "search"))

    assert turn.outcome.succeeded, turn.stderr
    (asked,) = [one.asked for one in desk.server.asked if one.asked and one.asked.tools]
    assert {"Read", "read_file"} & set(asked.tools)
    assert not {"Bash", "Write", "run_shell_command", "write_file", "replace"} & set(asked.tools)


def test_it_stops_after_as_many_turns_as_it_may_have(desk: Desk) -> None:
    if desk.kind == "codex_task":
        pytest.skip("it has no such option")

    turn = desk.run("RUN true\nRUN true\nRUN true\nRUN true\nSAY x", max_turns=2)

    assert not turn.outcome.succeeded
    assert turn.codes[-1] == "AGENT_MAX_TURNS"


def _picture() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff\0\0" * 8) * 8)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
