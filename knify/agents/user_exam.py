"""`user_exam`: what the declared sources hold of one user in one time, as a report.

The reading is done in the sandbox by a program of ours (`knify/agents/exam`), which is sent in with
the turn: no model is involved, and nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from knify import errors, model
from knify.agents import base, models, packed
from knify.agents.exam import declared

PROGRAM = "exam.pyz"
PLAN = "plan.json"
_SAID = ("agent_message", "tool_use", "tool_result", "warning")
_STAYS = ("declared.py",)  # what only Knify itself needs


class UserExam:
    """The adapter; the nonce marks our own program's lines among the output."""

    longest = base.LINE

    def __init__(self, nonce: str, said: model.Said) -> None:
        """The mark is derived, so that who finds it still does not know the nonce."""
        self.said = said
        self.operators: Path | None = None  # the operator's own declarations
        self._mark = "knify-" + hashlib.sha256(f"user_exam {nonce}".encode()).hexdigest()[:32]

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter; BadRequest when no source is declared."""
        if spec.user_id is None or spec.time_range is None:
            raise errors.BadRequest("a user_exam needs user_id and time_range")
        start, end = spec.time_range
        wanted = {"user_id": spec.user_id, "start": start, "end": end}
        plan = {
            "mark": self._mark,
            "wanted": wanted | {"workspace": base.WORKSPACE, "databases": models.DATABASES_PORT},
            "sources": declared.sources(*self._declarations(workspace)),
        }
        files = {PLAN: json.dumps(plan).encode(), PROGRAM: program()}
        argv = ("python3", "-I", f"{base.TURN}/{PROGRAM}", f"{base.TURN}/{PLAN}")
        title = f"Reading {len(plan['sources'])} sources"
        return base.Plan(argv, dict(spec.env), files, title=title)

    def feed(self, stream: base.Stream, line: str) -> list[base.Event]:
        """See Adapter."""
        _, mark, said = line.partition(f"{self._mark} ")
        own = self.own_line(stream, line)
        shown = [] if own is None else [base.progress(stream, own)]
        if not mark or stream == "stderr":
            return shown
        with contextlib.suppress(ValueError, RecursionError):
            event = json.loads(said)
            if isinstance(event, dict) and event.get("type") in _SAID:
                if event["type"] == "agent_message":
                    self.said = self.said.evolve(text=base.clip(str(event.get("message", ""))))
                return [*shown, event]
        return shown

    def is_own(self, line: str) -> bool:
        """Whether our own program printed it, or a part of it."""
        return self._mark in line

    def own_line(self, stream: base.Stream, line: str) -> str | None:
        """See Adapter."""
        output, mark, _ = line.partition(self._mark)
        return output if output or not mark else None

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """See Adapter: its exit code counts, and what it said is the result."""
        if outcome.kind == "exited" and outcome.exit_code == 127:
            missing = "the image has no python3: leave `image` out, or choose one that has it"
            return outcome.evolve(error=missing)
        return outcome.evolve(result=self.said.text) if outcome.succeeded else outcome

    def end(self, outcome: model.Outcome) -> list[base.Event]:
        """See Adapter."""
        return []

    def _declarations(self, workspace: base.WorkspaceReader) -> list[declared.File]:
        """The operator's, then the workspace's. BadRequest when there are none."""
        found = []
        if self.operators is not None:
            try:
                found.append(declared.File("KNIFY_SOURCES_FILE", self.operators.read_bytes()))
            except OSError as failed:
                message = f"KNIFY_SOURCES_FILE cannot be read: {failed.strerror}"
                raise errors.ConfigError(message) from failed
        for name in declared.NAMES:
            with contextlib.suppress(errors.NotFound):
                found.append(declared.File(name, workspace(name)))
                break
        if not found:
            raise errors.BadRequest(
                "no source is declared: put sources.yaml into the workspace, or let the operator "
                "set KNIFY_SOURCES_FILE"
            )
        return found


def program() -> bytes:
    """All that runs in the sandbox, as one file that Python runs."""
    return packed.program("knify.agents.exam", "main", without=_STAYS)
