"""`command_task`: one command, its lines shown as they come."""

from __future__ import annotations

import shlex

from knify import errors, model
from knify.agents import base

_ID = "command"


class Command(base.Plain):
    """The adapter; it keeps no state."""

    def __init__(self, nonce: str) -> None:
        """The nonce is not needed: nothing of ours stands among the output."""

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter; BadRequest when there is no command."""
        if not spec.command:
            raise errors.BadRequest("a command_task needs a command", detail={"field": "command"})
        begun = {
            "type": "tool_use",
            "id": _ID,
            "tool": "run_command",
            "parameters": {"command": base.clip(shlex.join(spec.command))},
        }
        return base.Plan(spec.command, dict(spec.env), events=(begun,))

    def feed(self, stream: base.Stream, line: str) -> list[base.Event]:
        """See Adapter."""
        return [base.progress(stream, line)]

    def own_line(self, stream: base.Stream, line: str) -> str | None:
        """See Adapter."""
        return line

    def end(self, outcome: model.Outcome) -> list[base.Event]:
        """See Adapter."""
        return [{"type": "tool_result", "id": _ID, **base.failure(outcome)}]
