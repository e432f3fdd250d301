"""Records for tests: what does not matter is filled in."""

from __future__ import annotations

from typing import Any

from knify import ids, model
from knify.lifecycle import SandboxState, State


def spec(**fields: Any) -> model.ExecutionSpec:
    """A command that succeeds."""
    return model.ExecutionSpec(**({"job_type": "command_task", "command": ("true",)} | fields))


def sandbox(**fields: Any) -> model.Sandbox:
    """One that is promised to a job."""
    return model.Sandbox(
        **(
            {
                "id": ids.new("sandbox"),
                "tenant": "default",
                "state": SandboxState.CREATING,
                "image": "localhost/knify/base:latest",
                "resources": model.Resources(),
                "created_at": 1,
                "state_changed_at": 1,
            }
            | fields
        )
    )


def execution(**fields: Any) -> model.Execution:
    """One that was just submitted."""
    return model.Execution(
        **(
            {
                "id": ids.new("job"),
                "tenant": "default",
                "state": State.PENDING,
                "spec": spec(),
                "request": {"job_type": "command_task", "command": "true"},
                "created_at": 1,
                "sandbox_id": ids.new("sandbox"),
            }
            | fields
        )
    )
