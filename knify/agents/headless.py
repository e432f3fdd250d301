"""What the adapters have in common whose agents print one JSON object a line.

A success is a terminal result that says ok, and an exit that does not deny it: each agent was seen
to exit with 0 without having done anything, and to print a result that is none.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from knify import model
from knify.agents import base, conversation, stream

PROMPT = "prompt.md"  # among a plan's files
_CODES = {
    "timeout": "AGENT_TIMEOUT",
    "hang": "AGENT_TIMEOUT",
    "oom_killed": "AGENT_KILLED",
    "disk_full": "AGENT_KILLED",
    "flood": "AGENT_KILLED",
    "budget_exceeded": "AGENT_BUDGET",
}


class Headless(abc.ABC):
    """An adapter but for `prepare` and `_hear`; all that a taker needs of it is in `said`."""

    program: ClassVar[str]
    longest = stream.LINE

    def __init__(self, said: model.Said) -> None:
        """`said`: what was told before, by this turn's agent."""
        self.said = said
        self._stderr = stream.Tail()
        self._heard = said.text is not None or said.verdict is not None
        self._odd = 0  # lines that are none of its format
        self._code = "AGENT_FAILED"

    @abc.abstractmethod
    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter."""

    def feed(self, stream_: base.Stream, line: str) -> list[base.Event]:
        """See Adapter."""
        if stream_ == "stderr":
            self._stderr.add(line)
            return [base.progress(stream_, stream.text(line))]
        event = stream.read(line)
        if event is None:
            self._odd += bool(line.strip())
            return []
        if event.get("type") == conversation.NEW:
            lost = self.said.session_id
            self._tell(session_id=None)  # until the agent tells that of the new one
            return [conversation.lost(lost)]
        self._heard = True
        return self._hear(event)

    def own_line(self, stream_: base.Stream, line: str) -> str | None:
        """See Adapter: all lines are the agent's own, but for the one of `conversation`."""
        return None if conversation.NEW in line and len(line) < 64 else line

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """See Adapter: a result that says ok, and an exit that does not deny it."""
        said = self.said
        outcome = outcome.evolve(usage=said.usage, cost_usd=said.cost_usd)
        if outcome.kind not in ("exited", "lingered"):
            self._code = _CODES.get(outcome.kind, self._code)
            return outcome
        is_ended_well = outcome.kind == "lingered" or outcome.exit_code == 0
        if said.verdict == "ok" and is_ended_well:
            code = None if outcome.kind == "lingered" else 0
            return outcome.evolve(exit_code=code, error=None, result=said.text)
        self._code, error = self._reason(outcome)
        return outcome.evolve(error=error, result=said.text)

    def end(self, outcome: model.Outcome) -> list[base.Event]:
        """See Adapter."""
        events: list[base.Event] = []
        if self._odd:
            odd = f"{self._odd} lines of the agent's output are not of its format: see the raw ones"
            events.append({"type": "warning", "code": "AGENT_OUTPUT", "message": odd})
        if outcome.error and outcome.kind != "cancelled":
            events.append({"type": "error", "code": self._code, "message": outcome.error})
        return events

    @abc.abstractmethod
    def _hear(self, event: dict[str, Any]) -> list[base.Event]:
        """What one of the agent's own events stands for."""

    def _code_of(self, exit_code: int | None) -> str | None:
        """What the program says by its exit code alone; None: nothing in particular."""
        return None

    def _reason(self, outcome: model.Outcome) -> tuple[str, str]:
        """A code and words for an end that is no success."""
        said, words = self.said, str(self._stderr)
        told = self._code_of(outcome.exit_code)
        if said.verdict == "error":
            code = said.code or "AGENT_FAILED"
            return (told or code) if code == "AGENT_FAILED" else code, said.error or self._failed
        exited = outcome.error or "exited with code 0"
        if said.verdict == "ok":
            return "AGENT_FAILED", f"{self.program} said that it was done, but {exited}"
        if outcome.exit_code == 127 and not self._heard and "not found" in words:
            return "AGENT_MISSING", self._missing
        quoted = f": {words}" if words else ""
        code = stream.kind(words, "AGENT_FAILED" if outcome.exit_code else "AGENT_NO_RESULT")
        return told or code, f"{self.program} {exited} without a result{quoted}"

    @property
    def _failed(self) -> str:
        return f"{self.program} reported an error"

    @property
    def _missing(self) -> str:
        return (
            f"the image has no program {self.program}: name one that has it in `image`, or let the "
            "operator set KNIFY_AGENTS_IMAGE"
        )

    def _tell(self, **changes: Any) -> None:
        self.said = self.said.evolve(**changes)

    def _succeeded(self, text: str, **told: Any) -> None:
        """The agent says that it is done."""
        self._tell(verdict="ok", text=self.said.text or text or None, error=None, **told)

    def _gave_up(self, words: str, code: str | None = None, **told: Any) -> None:
        """The agent says that it failed, and why."""
        words = words or self._failed
        self._tell(verdict="error", error=words, code=code or stream.kind(words), **told)

    def _begin(self, session: Any) -> list[base.Event]:
        """It tells its conversation's id."""
        before = self.said.session_id
        if not isinstance(session, str) or not stream.TOKEN.fullmatch(session):
            return []
        self._tell(session_id=session)
        if before in (None, session):
            return []
        new = f"the conversation {before} was not found: this is a new one, {session}"
        return [{"type": "warning", "code": "AGENT_SESSION_NOT_FOUND", "message": new}]

    def _warning(self, words: str, code: str | None = None) -> base.Event:
        """It tells of a trouble and goes on."""
        words = words[:1_000] or self._failed
        code = code or stream.kind(words, "AGENT_WARNING")
        return {"type": "warning", "code": code, "message": words}

    def _message(self, text: str) -> list[base.Event]:
        """What it says; some versions say it twice."""
        if not text.strip() or text == self.said.text:
            return []
        self._tell(text=text)
        return [{"type": "agent_message", "message": text}]

    def _created(self, path: Any) -> list[base.Event]:
        """It created a file; those outside the workspace are nobody's business."""
        below = stream.below_workspace(stream.text(path, 1_000))
        if below is None or below in self.said.files:
            return []
        self.said = stream.with_file(self.said, below)
        return [{"type": "file_created", "path": below}]
