"""What the server knows, as values: fields for what programs use, `raw` for all of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Self

ENDED: Final = frozenset({"completed", "failed", "failed_preserved", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Something that the server answered. Times are RFC 3339 texts; what is missing is None."""

    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, body: dict[str, Any]) -> Self:
        """From one JSON object. KeyError when something is missing that is always there."""
        found = {
            one.name: body[one.name]
            if one.default is dataclasses.MISSING
            else body.get(one.name, one.default)
            for one in dataclasses.fields(cls)
            if one.name != "raw"
        }
        return cls(raw=body, **found)

    def __getitem__(self, name: str) -> Any:
        """A field by the server's name, also one that this version does not know."""
        return self.raw[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The same, or `default`."""
        return self.raw.get(name, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Record):
    """A job."""

    id: str
    status: str  # pending | running | completed | failed | cancelled
    name: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    sandbox_id: str | None = None
    parent_job_id: str | None = None
    image_digest: str | None = None  # of the image below it; not in lists
    exit_code: int | None = None
    error: str | None = None
    queue_position: int | None = None  # while it waits
    pending_reason: str | None = None  # what it waits for

    @property
    def spec(self) -> dict[str, Any]:
        """What it was asked to do, as it was written."""
        return self.raw.get("spec") or {}

    @property
    def metadata(self) -> dict[str, Any]:
        """Its owner's own words."""
        return self.raw.get("metadata") or {}

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of its artifacts; empty in lists of jobs."""
        return tuple((self.raw.get("artifacts") or {}).get("files") or ())

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Record):
    """An accepted request about a job."""

    job_id: str
    status: str
    sandbox_id: str | None = None  # of a continued one
    replayed: bool = False  # the Idempotency-Key was used before: this is the first one's job


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One step of a job's history."""

    n: int | None = None
    ts: str | None = None
    stage: str | None = None
    level: str | None = None  # info | warning | error
    detail: str | None = None
    state: str | None = None  # when the step changed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Record):
    """A line that the job's own program wrote."""

    line: str
    n: int | None = None
    stream: str | None = None  # stdout | stderr
    timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry of a stream. With `after=frame.id` a stream goes on right behind it."""

    id: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a job left."""

    path: str
    size: int | None  # bytes
    sha256: str | None
    content_type: str | None = None
    withheld: bool = False  # it holds a secret's value, and cannot be had


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(Record):
    """One version of a folder that jobs start from."""

    path: str  # for `workspace_path`
    workspace_id: str | None = None
    name: str | None = None
    version: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    files: int | None = None
    created_at: str | None = None
    unchanged: bool | None = None  # the newest version held this already; no new one was made

    @property
    def pinned(self) -> str:
        """For a `workspace_path` that means just this version, whatever is uploaded later."""
        return f"{self.path}@{self.version}" if self.version else self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Record):
    """An API key; `key` is its text, right after its creation only."""

    id: str
    key: str | None = field(default=None, repr=False)
    name: str | None = None
    scopes: list[str] | None = None
    tier: str | None = None
    limit_per_hour: int | None = None
    status: str | None = None  # active | expired | revoked
    created_at: str | None = None
    revoked_at: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamToken(Record):
    """What opens one stream without a header."""

    token: str = field(repr=False)
    url: str | None = field(default=None, repr=False)  # the stream's path with the token
    expires_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret(Record):
    """A secret that the server keeps, without its value."""

    name: str
    created_at: str | None = None
    updated_at: str | None = None  # when it got the value that it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(Record):
    """Who is told of what."""

    webhook_id: str
    url: str | None = None
    events: list[str] | None = None
    name: str | None = None
    active: bool | None = None
    secret: str | None = field(default=None, repr=False)  # where the server made it, once
    created_at: str | None = None
    waiting: int | None = None  # deliveries that have not ended
    failing_since: str | None = None
    last_error: str | None = None
    last_success_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Record):
    """One message to a webhook."""

    delivery_id: str
    webhook_id: str | None = None
    type: str | None = None
    job_id: str | None = None
    status: str | None = None  # pending | sending | delivered | failed
    attempts: int | None = None
    created_at: str | None = None
    last_attempt_at: str | None = None
    next_attempt_at: str | None = None
    ended_at: str | None = None
    response_code: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Record):
    """A Podman host."""

    name: str
    state: str | None = None  # up | cordoned | draining | drained | away
    slots: int | None = None
    active: int | None = None  # jobs that run
    paused: int | None = None  # idle sandboxes
    hot: int | None = None
    archived: int | None = None
    removals: int | None = None  # still to be made
    draining_since: str | None = None
    cordoned_since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox(Record):
    """A container and its files; it outlives its jobs."""

    id: str
    state: str | None = None
    node: str | None = None
    image: str | None = None
    created_at: str | None = None
    expires_at: str | None = None
    reason: str | None = None  # why it is lost
    jobs: list[str] | None = None  # that run or wait in it
    kinds: list[str] | None = None  # of an orphan: what is left
    found_at: str | None = None
    kept_until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Record):
    """A server that answers."""

    status: str
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness(Record):
    """Whether jobs can run; each check is `ok` or the reason."""

    ready: bool
    checks: dict[str, str]
