from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.jobs import schemas
from knify import catalog, errors, spec
from knify.agents import registry

AGENTS = ["allowed_tools", "mcp_config", "max_turns", "system_prompt", "max_tokens", "max_cost_usd"]


def _build(**request: Any) -> Any:
    return spec.build(request, allowed_images=("localhost/*",))


def test_the_table_and_the_schema_know_the_same_fields() -> None:
    fields = set().union(*(known.fields for known in spec.JOB_TYPES.values()))

    assert fields == set(schemas.Spec().fields)


def test_every_type_that_is_offered_has_an_adapter() -> None:
    assert tuple(spec.available()) == registry.available()


def test_the_models_of_every_agent_are_known() -> None:
    agents = {kind for kind, known in spec.JOB_TYPES.items() if "model" in known.optional}

    assert {kind for kind in agents if spec.provider(kind)} <= set(catalog.DOCUMENTED.names)


@pytest.mark.parametrize("field", ["command", "user_id", "time_range", "agent"])
def test_a_field_of_another_type_is_refused(field: str) -> None:
    with pytest.raises(errors.BadRequest, match="does not belong to cursor_task: ") as refused:
        _build(job_type="cursor_task", prompt="x", **{field: "y"})

    assert refused.value.detail == {"field": f"spec.{field}"}


@pytest.mark.parametrize("field", AGENTS)
def test_what_this_version_cannot_do_is_refused_and_never_ignored(field: str) -> None:
    with pytest.raises(errors.BadRequest, match="not available in this version"):
        _build(job_type="cursor_task", prompt="x", **{field: ["y"]})


def test_an_agent_that_follows_a_browser_test_brings_its_own_fields() -> None:
    wanted = {"model": "haiku", "max_turns": 3, "allowed_tools": ["read_file"], "max_tokens": 9}

    built = _build(job_type="fh_e2e_tools", prompt="x", agent="claude", **wanted)

    assert (built.model, built.max_turns, built.max_tokens) == ("haiku", 3, 9)


@pytest.mark.parametrize(
    ("agent", "field", "value", "why"),
    [
        (None, "model", "auto", "is for an agent: name one"),
        ("runbook", "max_tokens", 5, "is for an agent: name one"),
        ("codex", "max_turns", 5, "the agent codex has none"),
        ("cursor", "system_prompt", "x", "the agent cursor has none"),
        ("claude", "model", "gemini-2.5-pro", "has no model"),
    ],
)
def test_a_browser_test_takes_no_field_that_its_agent_does_not_have(
    agent: str | None, field: str, value: Any, why: str
) -> None:
    request = {"agent": agent, field: value} if agent else {field: value}

    with pytest.raises(errors.BadRequest, match=why) as refused:
        _build(job_type="fh_e2e_tools", prompt="x", **request)

    assert refused.value.detail == {"field": f"spec.{field}"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0),
        ({"metadata": {"priority": "high"}}, 5),
        ({"metadata": {"priority": "low"}}, -5),
        ({"metadata": {"priority": "normal"}}, 0),
        ({"metadata": {"priority": 7}}, 7),
        ({"metadata": {"priority": "high"}, "priority": -3}, -3),
        ({"metadata": {"priority": "high"}, "priority": 0}, 0),
        ({"metadata": {"priority": "urgent"}}, 0),
        ({"metadata": {"priority": 99}}, 0),
        ({"metadata": {"priority": True}}, 0),
        ({"metadata": {"priority": ["high"]}}, 0),
    ],
)
def test_the_priority_comes_from_the_field_or_else_from_the_metadata(
    fields: dict[str, Any], expected: int
) -> None:
    assert _build(job_type="command_task", command="x", **fields).priority == expected


@pytest.mark.parametrize("name", ["auto", "sonnet-4.5", "opus-4.1", "composer-1", "gpt-5"])
def test_the_documented_models_are_served(name: str) -> None:
    assert _build(job_type="cursor_task", prompt="x", model=name).model == name


def test_without_a_model_it_is_auto() -> None:
    assert _build(job_type="cursor_task", prompt="x").model == "auto"
    assert _build(job_type="command_task", command="x").model is None


@pytest.mark.parametrize(
    "text",
    [
        "cursor_task:\n  team: gpt-5-high\n  sonnet-4.5: sonnet-4.5-thinking\n",
        '{"cursor_task": {"team": "gpt-5-high", "sonnet-4.5": "sonnet-4.5-thinking"}}',
    ],
)
def test_the_operators_table_adds_and_replaces_names(tmp_path: Path, text: str) -> None:
    file = tmp_path / "models"
    file.write_text(text)
    models = catalog.load(file)

    def chosen(name: str) -> str | None:
        request = {"job_type": "cursor_task", "prompt": "x", "model": name}
        return spec.build(request, allowed_images=(), models=models).model

    assert chosen("team") == "gpt-5-high"
    assert chosen("sonnet-4.5") == "sonnet-4.5-thinking"
    assert chosen("auto") == "auto"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cursor_task: [", "not valid YAML"),
        ("- a", "must be a table"),
        ("", "must be a table"),
        ("cursor_task: 5", "must be a table of names"),
        ("command_task: {a: b}", "command_task is no job type"),
        ("cursor_task: {a: --evil}", "cannot be a model's name"),
        ("cursor_task: {a: 5}", "cannot be a model's name"),
        ("cursor_task: {a: b}\ncursor_task: {c: d}", "not valid YAML"),
    ],
)
def test_a_wrong_table_stops_the_start_and_says_why(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)

    with pytest.raises(errors.ConfigError, match=f"KNIFY_MODELS_FILE.*{says}"):
        catalog.load(file)
    with pytest.raises(errors.ConfigError, match="cannot be read"):
        catalog.load(tmp_path / "none")


def test_a_job_type_with_a_slip_is_told_the_right_one() -> None:
    with pytest.raises(errors.BadRequest, match=r"did you mean command_task\? Use one of"):
        spec.build({"job_type": "comand_task", "command": "ls"}, allowed_images=())
