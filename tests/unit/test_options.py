"""What a job may tell its agent besides the prompt."""

from __future__ import annotations

from typing import Any

import pytest

from knify import errors, model, options, spec

UUID = "0F0E0D0C-0B0A-4908-8706-050403020100"


def _build(kind: str = "claude_task", **request: Any) -> model.ExecutionSpec:
    wanted = {"job_type": kind, "prompt": "x"} | request
    return spec.build(wanted, allowed_images=())


def test_they_stand_in_the_spec() -> None:
    mcp = {"mcpServers": {"db": {"command": "db-mcp"}, "web": {"url": "http://x", "headers": {}}}}

    built = _build(
        allowed_tools=["read_file", "Bash(git *)", "read_file"],
        mcp_config=mcp,
        max_turns=5,
        system_prompt="Be brief",
        session_id=UUID,
        max_tokens=1000,
        max_cost_usd=2,
    )

    assert built.allowed_tools == ("read_file", "Bash(git *)")
    assert (built.mcp_config, built.max_turns, built.system_prompt) == (mcp, 5, "Be brief")
    assert built.session_id == UUID.lower()
    assert (built.max_tokens, built.max_cost_usd) == (1000, 2.0)
    assert _build(mcp_config={"mcpServers": {}}).mcp_config is None


@pytest.mark.parametrize(
    ("name", "called"),
    [("auto", None), ("sonnet-4.5", "claude-sonnet-4-5"), ("opus-4.1", "claude-opus-4-1")],
)
def test_documented_models_have_the_vendors_names(name: str, called: str | None) -> None:
    assert _build(model=name).model == called
    assert _build().model is None


@pytest.mark.parametrize(
    ("kind", "name"), [("claude_task", "gpt-5"), ("gemini_task", "opus-4.1"), ("codex_task", "x")]
)
def test_a_model_of_another_vendor_is_refused(kind: str, name: str) -> None:
    with pytest.raises(errors.BadRequest, match=f"{kind} has no model '{name}'; it serves auto"):
        _build(kind, model=name)


def _server(**fields: Any) -> dict[str, Any]:
    return {"mcpServers": {"db": fields}}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("session_id", {"session_id": "session_123"}),
        ("allowed_tools", {"allowed_tools": []}),
        ("allowed_tools.1", {"allowed_tools": ["Read", "--evil"]}),
        ("allowed_tools.0", {"allowed_tools": ["Bash(a,b)"]}),
        ("max_turns", {"max_turns": 0}),
        ("system_prompt", {"system_prompt": "x" * (options.MAX_SYSTEM + 1)}),
        ("system_prompt", {"system_prompt": "a\0b"}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_cost_usd", {"max_cost_usd": 0}),
        ("max_cost_usd", {"max_cost_usd": float("nan")}),
        ("mcp_config", {"mcp_config": {"servers": {}}}),
        ("mcp_config", {"mcp_config": {"mcpServers": []}}),
        ("mcp_config", {"mcp_config": _server(command="x" * options.MAX_MCP)}),
        ("mcp_config.mcpServers.db", {"mcp_config": _server()}),
        ("mcp_config.mcpServers.db", {"mcp_config": _server(command="x", url="y")}),
        ("mcp_config.mcpServers.db.env", {"mcp_config": _server(url="x", env={})}),
        ("mcp_config.mcpServers.db.args", {"mcp_config": _server(command="x", args=[1])}),
        ("mcp_config.mcpServers.db.env", {"mcp_config": _server(command="x", env={"a": None})}),
        ("mcp_config.mcpServers.a b", {"mcp_config": {"mcpServers": {"a b": {"command": "x"}}}}),
        ("mcp_config.mcpServers.db", {"mcp_config": {"mcpServers": {"db": "x"}}}),
    ],
)
def test_what_is_wrong_is_named(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        _build(**fields)

    assert refused.value.detail == {"field": f"spec.{field}"}


@pytest.mark.parametrize("field", ["allowed_tools", "max_turns"])
def test_what_an_agent_cannot_do_does_not_belong_to_it(field: str) -> None:
    with pytest.raises(errors.BadRequest, match="does not belong to codex_task"):
        _build("codex_task", **{field: 1})
