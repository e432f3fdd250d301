"""Claude, Gemini and Codex: what each of them is started with, and what is peculiar in its words.

The transcripts were printed by the real programs, see `test_programs.py`.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from knify import errors, model, options
from knify.agents import base, prompt
from tests.agents import speaking

MCP = {"mcpServers": {"db": {"command": "db-mcp", "args": ["-v"], "env": {"A": 'b"c'}}}}


def _played(name: str) -> tuple[model.Outcome, list[base.Event]]:
    adapter = speaking.new(f"{name}_task")
    events = speaking.fed(adapter, *speaking.recorded(name))
    outcome, last = speaking.ended(adapter)
    return outcome, events + last


@pytest.mark.parametrize("name", ["claude", "gemini", "codex"])
def test_what_a_real_one_printed_becomes_the_neutral_vocabulary(name: str) -> None:
    outcome, events = _played(name)

    told = [event for event in events if event["type"] not in ("file_created", "warning")]
    assert [event["type"] for event in told] == [
        *("agent_message", "tool_use", "tool_result", "tool_use", "tool_result", "agent_message"),
    ]
    assert [told[0]["message"], told[5]["message"]] == ["I begin", "All done"]
    assert told[1]["tool"] == ("run_command" if name == "codex" else "write_file")
    assert told[3]["tool"] == "run_command"
    assert "cat src/a.txt; exit 3" in told[3]["parameters"]["command"]
    assert [told[2]["id"], told[4]["id"]] == [told[1]["id"], told[3]["id"]]
    assert told[2]["status"] == "success"
    assert "two" in told[4]["output"]
    assert (outcome.succeeded, outcome.result) == (True, "All done")
    if name != "codex":
        assert told[1]["parameters"] == {"path": "src/a.txt", "content": "one\ntwo"}
        assert outcome.usage is not None
        assert set(outcome.usage) == {"input_tokens", "output_tokens", "cached_tokens"}
        assert 0 < outcome.usage["cached_tokens"] < outcome.usage["input_tokens"]


def test_claude_tells_which_files_it_created() -> None:
    _, events = _played("claude")

    assert [e["path"] for e in events if e["type"] == "file_created"] == ["src/a.txt"]


def test_codex_tells_a_new_file_when_it_is_written() -> None:
    changes = [{"path": "/workspace/a.txt", "kind": "add"}, {"path": "b.txt", "kind": "update"}]
    item = {"id": "1", "type": "file_change", "changes": changes, "status": "completed"}
    adapter = speaking.new("codex_task")

    told = speaking.fed(
        adapter, {"type": "item.started", "item": item}, {"type": "item.completed", "item": item}
    )

    assert [event["type"] for event in told] == ["tool_use", "tool_result", "file_created"]
    assert (told[0]["tool"], told[2]["path"]) == ("edit_file", "a.txt")


def test_tools_of_mcp_servers_keep_their_names() -> None:
    item = {
        "id": "1",
        "type": "mcp_tool_call",
        "server": "db",
        "tool": "ask",
        "arguments": {"q": 1},
    }
    done = item | {"status": "failed", "error": {"message": "no"}}
    adapter = speaking.new("codex_task")

    told = speaking.fed(
        adapter, {"type": "item.started", "item": item}, {"type": "item.completed", "item": done}
    )

    assert told[0] == {"type": "tool_use", "id": "1", "tool": "db.ask", "parameters": {"q": 1}}
    assert told[1] == {"type": "tool_result", "id": "1", "status": "error", "output": "no"}


def test_a_message_in_parts_is_told_as_one() -> None:
    parts = [
        {"type": "message", "role": "assistant", "content": text, "delta": True}
        for text in ("One ", "and ", "the same.")
    ]
    use = {"type": "tool_use", "tool_name": "glob", "tool_id": "1", "parameters": {}}
    adapter = speaking.new("gemini_task")

    told = speaking.fed(adapter, *parts, use, *parts[:1])
    outcome, last = speaking.ended(adapter)

    assert [e.get("message", e.get("tool")) for e in told] == ["One and the same.", "list_files"]
    assert last[0] == {"type": "agent_message", "message": "One "}
    assert (outcome.result, outcome.succeeded) == ("One ", False)


@pytest.mark.parametrize(
    ("exit_code", "code"),
    [
        *((145, "AGENT_AUTH"), (173, "AGENT_RATE_LIMITED"), (244, "AGENT_UPSTREAM")),
        *((41, "AGENT_AUTH"), (53, "AGENT_MAX_TURNS"), (42, "AGENT_SESSION_NOT_FOUND")),
    ],
)
def test_gemini_says_by_its_exit_code_what_went_wrong(exit_code: int, code: str) -> None:
    adapter = speaking.new("gemini_task")
    adapter.feed("stderr", 'Error resuming session: Invalid session identifier "x".')

    _, last = speaking.ended(adapter, model.Outcome("exited", exit_code, "exited"))

    assert last[-1]["code"] == code


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"subtype": "success", "api_error_status": 401, "result": "odd"}, "AGENT_AUTH"),
        ({"subtype": "success", "api_error_status": 429, "result": "odd"}, "AGENT_RATE_LIMITED"),
        ({"subtype": "success", "api_error_status": 529, "result": "odd"}, "AGENT_UPSTREAM"),
        ({"subtype": "error_max_turns"}, "AGENT_MAX_TURNS"),
        ({"subtype": "error_max_budget_usd"}, "AGENT_BUDGET"),
        (
            {"subtype": "error_during_execution", "errors": ["No conversation found with x"]},
            "AGENT_SESSION_NOT_FOUND",
        ),
    ],
)
def test_claude_says_in_its_result_what_went_wrong(result: dict[str, Any], code: str) -> None:
    adapter = speaking.new("claude_task")
    speaking.fed(adapter, {"type": "result", "is_error": True} | result)

    outcome, last = speaking.ended(adapter, model.Outcome("exited", 1, "exited with code 1"))

    assert last[-1]["code"] == code
    assert outcome.error


def test_troubles_on_the_way_are_warnings() -> None:
    claude = speaking.new("claude_task")

    told = speaking.fed(
        claude,
        {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 4}
        | {"error_status": 429, "error": "rate_limit"},
        {"type": "system", "subtype": "permission_denied", "message": "Bash was denied"},
        {"type": "system", "subtype": "init", "mcp_servers": [{"name": "db", "status": "failed"}]},
    )

    assert [(event["type"], event["code"]) for event in told] == [
        *(("warning", "AGENT_RATE_LIMITED"), ("warning", "AGENT_TOOL_DENIED")),
        ("warning", "AGENT_MCP"),
    ]
    assert told[0]["message"] == "retry 1 of 4: rate_limit"


def test_claude_is_told_all_options() -> None:
    plain = speaking.plan("claude_task")
    full = speaking.plan(
        "claude_task",
        model="opus",
        max_turns=7,
        mcp_config=MCP,
        system_prompt="Be brief",
        allowed_tools=("write_file", "Bash(git *)", "mcp__db__ask"),
    )

    assert {"bypassPermissions", "--strict-mcp-config", "--verbose"} <= set(plain.argv)
    assert json.loads(plain.files["settings.json"])["cleanupPeriodDays"] == 365
    assert plain.env["IS_SANDBOX"] == "1"
    assert json.loads(full.files["mcp.json"]) == MCP
    assert full.files["system.md"] == b"Be brief"
    options = " ".join(full.argv)
    assert "--permission-mode dontAsk" in options
    assert "--allowedTools=Write,Bash(git *),mcp__db__ask --tools=Write,Bash " in options
    assert "--model opus --max-turns 7 --mcp-config /run/knify/turn/mcp.json" in options
    assert "--append-system-prompt-file /run/knify/turn/system.md" in options


def test_gemini_is_told_most_by_its_settings() -> None:
    plain = speaking.plan("gemini_task")
    full = speaking.plan(
        "gemini_task",
        model="gemini-2.5-pro",
        max_turns=7,
        mcp_config=MCP,
        system_prompt="Be brief",
        allowed_tools=("edit_file", "run_shell_command(git)"),
    )

    assert plain.env["NODE_OPTIONS"] == "--require=/run/knify/turn/whole.cjs"
    assert b"setBlocking" in plain.files["whole.cjs"]
    settings = json.loads(plain.home[".gemini/settings.json"])
    assert settings["security"]["auth"]["selectedType"] == "gemini-api-key"
    assert "--model" not in plain.argv
    settings = json.loads(full.home[".gemini/settings.json"])
    assert settings["model"] == {"maxSessionTurns": 7}
    assert settings["mcpServers"] == MCP["mcpServers"]
    assert settings["tools"]["core"] == ["replace", "run_shell_command(git)"]
    assert full.home[".gemini/KNIFY.md"] == b"Be brief"
    assert "KNIFY.md" in settings["context"]["fileName"]
    assert full.argv[full.argv.index("--model") + 1] == "gemini-2.5-pro"


def test_codex_is_told_all_in_its_command_line() -> None:
    plan = speaking.plan(
        "codex_task", model="gpt-5", mcp_config=MCP, system_prompt='Be "brief"\nand\ttrue'
    )

    pairs = [plan.argv[n + 1] for n, word in enumerate(plan.argv) if word == "-c"]
    settings = tomllib.loads("\n".join(pairs))
    assert settings["model_providers"]["knify"]["base_url"] == "http://127.0.0.1:8119/openai/v1"
    assert settings["developer_instructions"] == 'Be "brief"\nand\ttrue'
    assert settings["mcp_servers"] == MCP["mcpServers"]
    assert plan.argv[:2] == ("codex", "exec")
    assert plan.argv[-1] == "-"
    assert "--dangerously-bypass-approvals-and-sandbox" in plan.argv


@pytest.mark.parametrize("said", ["🌊 \x7f \\ ", "海" * options.MAX_SYSTEM])
def test_no_system_prompt_is_too_much_for_codex(said: str) -> None:
    plan = speaking.plan("codex_task", "Go", system_prompt=said)

    pairs = [plan.argv[n + 1] for n, word in enumerate(plan.argv) if word == "-c"]
    settings = tomllib.loads("\n".join(pairs))
    told = settings.get("developer_instructions"), plan.files["prompt.md"].decode()
    assert told in [(said, "Go"), (None, f"{said}\n\nGo")]
    assert max(len(word.encode()) for word in plan.argv) < 128 * 1024  # Linux takes no longer one


def test_images_that_a_prompt_names_are_files_of_the_workspace() -> None:
    def workspace(path: str) -> bytes:
        if path == "big.jpg":
            raise errors.TooLarge
        if path not in ("shot.png", "a/b.PNG", "note.md"):
            raise errors.NotFound
        return b"x"

    text = (
        "@shot.png, (see @a/b.PNG) and @note.md, me@shot.png @../shot.png @/etc/x.png "
        "@-x.png @none.png @shot.png @big.jpg."
    )

    assert prompt.images(text, workspace) == ("shot.png", "a/b.PNG", "big.jpg")
    assert prompt.images("look: @./a/b.PNG", workspace) == ("a/b.PNG",)
    wanted = model.ExecutionSpec("codex_task", prompt="@shot.png")
    plan = speaking.new("codex_task").prepare(wanted, workspace)
    assert "--image /workspace/shot.png -" in " ".join(plan.argv)
