"""Tasks as values: see `records`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from knify.client.records import ENDED, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Record):
    """A task."""

    id: str
    state: str  # pending … completing; completed, failed, failed_preserved, cancelled
    name: str | None = None
    state_message: str | None = None  # what it waits for, or why it failed
    created_at: str | None = None
    started_at: str | None = None
    state_changed_at: str | None = None
    exit_code: int | None = None
    error: str | None = None
    execution_id: str | None = None  # its id as a job
    sandbox_id: str | None = None
    parent_id: str | None = None  # the task that it is a child of

    @property
    def status(self) -> str:
        """The same as `state`, as jobs call it."""
        return self.state

    @property
    def labels(self) -> dict[str, Any]:
        """Its owner's own words."""
        return self.raw.get("labels") or {}

    @property
    def progress(self) -> dict[str, Any]:
        """`output_bytes`, `tool_calls`, `current_tool`, `last_activity_at`; empty in lists."""
        return self.raw.get("progress") or {}

    @property
    def children(self) -> dict[str, Any]:
        """How its children go along with it, and `counts` by state; empty without any."""
        return self.raw.get("children") or {}

    @property
    def definition(self) -> dict[str, Any]:
        """Its manifest with all defaults, which can be submitted again; empty in lists."""
        return self.raw.get("definition") or {}

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage(Record):
    """A part of a list of tasks; iterate over it."""

    total_count: int
    has_more: bool
    offset: int = 0
    tasks: tuple[Task, ...] = ()

    def __iter__(self) -> Iterator[Task]:
        """Its tasks."""
        return iter(self.tasks)

    def __len__(self) -> int:
        """How many there are on this page."""
        return len(self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSubmitted(Record):
    """An accepted manifest."""

    task_id: str
    state: str
    message: str | None = None
    created_at: str | None = None
    links: dict[str, str] | None = None  # self, logs, artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCancelled(Record):
    """An accepted cancellation."""

    task_id: str
    previous_state: str
    new_state: str  # the one that it has by now
    message: str | None = None
    cancelled_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShell(Record):
    """An open shell."""

    shell_id: str  # its id as a job
    token: str = field(repr=False)
    url: str = field(repr=False)  # its WebSocket, with the token
    expires_at: str | None = None
