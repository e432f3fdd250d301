from __future__ import annotations

import pytest

from knify import errors, model
from knify.agents import base, command, registry


def _no_workspace(path: str) -> bytes:
    raise errors.NotFound


def test_a_command_is_started_as_it_is_and_announced() -> None:
    spec = model.ExecutionSpec("command_task", command=("sh", "-c", "echo hi"), env={"A": "b"})

    plan = command.Command("n").prepare(spec, _no_workspace)

    assert plan.argv == ("sh", "-c", "echo hi")
    assert plan.env == {"A": "b"}
    assert plan.events[0]["type"] == "tool_use"
    assert plan.events[0]["tool"] == "run_command"
    assert plan.events[0]["parameters"] == {"command": "sh -c 'echo hi'"}


def test_each_line_is_progress() -> None:
    assert command.Command("n").feed("stderr", "careful") == [
        {"type": "progress", "message": "careful", "stream": "stderr"}
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (model.Outcome("exited", 0), {"status": "success", "exit_code": 0}),
        (model.Outcome("exited", 3), {"status": "error", "exit_code": 3}),
        (
            model.Outcome("timeout", None, "ran for 24 h"),
            {"status": "error", "output": "ran for 24 h"},
        ),
        (model.Outcome("cancelled"), {"status": "error", "output": "cancelled"}),
    ],
)
def test_the_end_is_the_commands_result(outcome: model.Outcome, expected: base.Event) -> None:
    adapter = command.Command("n")
    spec = model.ExecutionSpec("command_task", command=("true",))
    begun = adapter.prepare(spec, _no_workspace).events[0]

    assert adapter.end(outcome) == [{"type": "tool_result", "id": begun["id"], **expected}]


def test_without_a_command_there_is_nothing_to_run() -> None:
    with pytest.raises(errors.BadRequest):
        command.Command("n").prepare(model.ExecutionSpec("command_task"), _no_workspace)


def test_the_registry_knows_its_job_types() -> None:
    assert {"command_task", "cursor_task", "runbook_task"} <= set(registry.available())
    for job_type in ("command_task", "runbook_task"):
        assert registry.adapter(job_type, "n").feed("stdout", "x")[0]["message"] == "x"
    with pytest.raises(errors.BadRequest, match="use one of claude_task, codex_task, command_task"):
        registry.adapter("magic_task", "n")
