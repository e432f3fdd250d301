"""What was asked for and what became of it: the values that the checker compares."""

from __future__ import annotations

from dataclasses import dataclass, field

COMPLETED = (("completed", r""),)
CANCELLED = (*COMPLETED, ("cancelled", r".*"))


@dataclass(slots=True)
class Wish:
    """One Idempotency-Key, and what its job may come to."""

    key: str
    kind: str
    allowed: tuple[tuple[str, str], ...] = COMPLETED  # state, pattern of the whole error
    counted: int = 0  # lines 1…N on both streams
    hashed: bool = False  # prints the SHA-256 of its file out.bin
    marked: bool = True  # notes its start in the workspace's file `starts`
    ids: list[str] = field(default_factory=list)  # every id that a request with this key got
    refused: bool = False  # the last answer was a refusal: nothing may have come of it


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a history."""

    n: int
    stage: str
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One output entry."""

    seq: int
    n: int | None = None
    stream: str | None = None
    line: str | None = None
    types: tuple[str, ...] = ()  # of its neutral events


@dataclass(frozen=True, slots=True)
class Seen:
    """An execution as the store and the API showed it."""

    id: str
    key: str  # from its metadata; '' when it has none
    state: str
    error: str | None = None
    events: tuple[Event, ...] = ()
    entries: tuple[Entry, ...] = ()
    fences: tuple[int, ...] = ()  # as they were seen, one look after the other
    starts: tuple[str, ...] | None = None  # lines of the file `starts`; None when not read
    hashes: dict[str, str] = field(default_factory=dict)  # of artifacts, as they were downloaded
    truncated: bool = False  # it printed more than is kept
    span: tuple[int, int] = (0, 0)  # ms of creation and end


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise."""

    #: lost, unexpected, doubled, illegal, output, artifact, usage, idempotency, leaked, slow
    kind: str
    job: str  # '' where it is not of one job
    text: str
    span: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        return f"{self.kind}: {self.job} {self.text}"
