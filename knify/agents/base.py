"""What an agent adapter is: from a spec to what is to be started, from its output to events.

Events are dicts with `type`; the caller adds `timestamp`, and the final `completed`:

    agent_message {message}                        what the agent or the runbook says
    tool_use      {id, tool, parameters}           something is begun
    tool_result   {id, status, output?, …}         it ended: status is success or error
    file_created  {path}                           below /workspace
    progress      {message, stream}                a line of output; stream is stdout or stderr
    error         {message}
    warning       {code, message}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from knify import model

Event = dict[str, Any]
Stream = Literal["stdout", "stderr"]

WorkspaceReader = Callable[[str], bytes]
"""The content of a file by its path in the workspace; NotFound when there is none."""

BUSYBOX = "/.knify/busybox"  # our own shell and tools, in every sandbox
TURN = "/run/knify/turn"  # where a plan's files lie in the sandbox
WORKSPACE = "/workspace"

MAX_TEXT = 4_000  # characters of a message or command in an event


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start in the sandbox, with /workspace as the working directory."""

    argv: tuple[str, ...]
    env: dict[str, str]  # the spec's own and what the adapter adds
    files: dict[str, bytes] = field(default_factory=dict)  # by path below TURN
    events: tuple[Event, ...] = ()  # to be published as the agent starts


class Adapter(Protocol):
    """One turn of one kind of job.

    A taker that continues a turn makes a new one with the same nonce; it needs no `prepare`.
    """

    def prepare(self, spec: model.ExecutionSpec, workspace: WorkspaceReader) -> Plan:
        """What to start; BadRequest when the spec or the workspace does not allow it."""

    def feed(self, stream: Stream, line: str) -> list[Event]:
        """The events that a line of output (without its newline) stands for. Never raises."""

    def own_line(self, stream: Stream, line: str) -> str | None:
        """The line as the job wrote it, without marks of ours; None when nothing is left."""

    def end(self, outcome: model.Outcome) -> list[Event]:
        """The events that the turn's end stands for, before the caller's `completed`."""


def clip(text: str) -> str:
    """At most MAX_TEXT characters."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def progress(stream: Stream, line: str) -> Event:
    """A line of output as it came."""
    return {"type": "progress", "message": line, "stream": stream}


def failure(outcome: model.Outcome) -> Event:
    """`status` and, when it did not end well, why: the common part of a last tool_result."""
    if outcome.succeeded:
        return {"status": "success", "exit_code": 0}
    reason = {"output": outcome.error or outcome.kind} if outcome.kind != "exited" else {}
    code = {} if outcome.exit_code is None else {"exit_code": outcome.exit_code}
    return {"status": "error", **code, **reason}
