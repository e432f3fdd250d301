"""What an agent adapter is: from a spec to what is to be started, from its output to events.

Events are dicts with `type`; the caller adds `timestamp`, and the final `completed`:

    agent_message {message}                        what the agent or the runbook says
    tool_use      {id, tool, parameters}           something is begun
    tool_result   {id, status, output?, …}         it ended: status is success or error
    file_created  {path}                           below /workspace
    progress      {message, stream}                a line of output; stream is stdout or stderr
    error         {message, code?}
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

LINE = 64 * 1024  # bytes of a line that is shown in one piece
MAX_TEXT = 4_000  # characters of a message or command in an event


def folder(spec: model.ExecutionSpec, workspace: str = WORKSPACE) -> str:
    """Where its command starts."""
    below = spec.repository.subpath if spec.repository else None
    return f"{workspace}/{below}" if below else workspace


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start in the sandbox, with `folder` as the working directory."""

    argv: tuple[str, ...]
    env: dict[str, str]  # the spec's own and what the adapter adds
    files: dict[str, bytes] = field(default_factory=dict)  # by path below TURN
    home: dict[str, bytes] = field(default_factory=dict)  # by path below the agent's home
    stdin: str | None = None  # which of `files` it reads; None: it finds its input closed
    events: tuple[Event, ...] = ()  # to be published as the agent starts
    session_id: str | None = None  # its conversation, where that is known before it starts
    title: str = ""  # how the history calls what runs now; the job's type, if nothing better


class Adapter(Protocol):
    """One turn of one kind of job.

    A taker that continues a turn makes a new one, with the same nonce and with what had been
    `said` when the last line was stored; it needs no `prepare`.
    """

    #: Bytes up to which `feed` gets a line whole, however it is shown; longer ones come in parts.
    longest: int

    @property
    def said(self) -> model.Said | None:
        """What the agent has told so far, to be kept with its output; None if it tells nothing.

        Once it holds a verdict, the program gets a moment to exit and is ended then.
        """

    def prepare(
        self, spec: model.ExecutionSpec, workspace: WorkspaceReader, session_id: str | None = None
    ) -> Plan:
        """What to start; BadRequest when the spec or the workspace does not allow it.

        `session_id`: the conversation to go on with.
        """

    def feed(self, stream: Stream, line: str) -> list[Event]:
        """The events that a line of output (without its newline) stands for. Never raises."""

    def own_line(self, stream: Stream, line: str) -> str | None:
        """The line as the job wrote it, without marks of ours; None when nothing is left."""

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """How the turn really ended, in view of all that the agent told."""

    def end(self, outcome: model.Outcome) -> list[Event]:
        """The events that the judged end stands for, before the caller's `completed`."""


class Around:
    """An adapter around another one, whose words count wherever this one says nothing else."""

    def __init__(self, inner: Adapter) -> None:
        """`inner` is fresh, for the same turn."""
        self._inner = inner
        self.longest = inner.longest

    @property
    def said(self) -> model.Said | None:
        """See Adapter."""
        return self._inner.said

    def feed(self, stream: Stream, line: str) -> list[Event]:
        """See Adapter."""
        return self._inner.feed(stream, line)

    def own_line(self, stream: Stream, line: str) -> str | None:
        """See Adapter."""
        return self._inner.own_line(stream, line)

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """See Adapter."""
        return self._inner.judge(outcome)

    def end(self, outcome: model.Outcome) -> list[Event]:
        """See Adapter."""
        return self._inner.end(outcome)


class Plain:
    """What those adapters have in common whose program tells nothing of itself."""

    longest = LINE
    said: model.Said | None = None

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """See Adapter: its exit code is all that counts."""
        return outcome


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
