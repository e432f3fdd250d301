"""One declared source, what is asked of it, and what it gave."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MAX_LABELS = 1_000  # different ones that are counted
LABEL = 100  # characters of one


class SourceError(Exception):
    """This source cannot be read; its text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from, as declared. Columns of NDJSON and HTTP are JSON pointers or names."""

    name: str
    kind: str  # csv | parquet | ndjson | sqlite | http | postgres
    user: str  # the column of the user's id
    time: str  # the column of the time
    unit: str = "auto"  # of times that are numbers: auto | s | ms | us
    label: str | None = None  # a column whose values are counted
    path: str | None = None  # below the workspace; with wildcards for csv, parquet and ndjson
    table: str | None = None  # sqlite, postgres; `schema.table` is two names there
    url: str | None = None  # http; {user_id}, {from} and {to} stand for themselves
    items: str = ""  # http: where in the answer the list of rows is
    connection: str | None = None  # postgres: the operator's name of the database

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Source:
        """What `declared.py` wrote."""
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose rows, of which time."""

    user_id: str
    start: int  # ms since the epoch
    end: int  # ms, included
    workspace: str = "/workspace"
    seconds: float = 120.0  # that one source may take
    databases: int = 8120  # the port at which the operator's databases are


@dataclass(slots=True)
class Rows:
    """The user's rows of one source."""

    wanted: Wanted
    times: array[int] = field(default_factory=lambda: array("q"))  # of those in range, ms
    untimed: int = 0  # the user's rows whose time cannot be read
    outside: int = 0  # the user's rows of other times
    unreadable: int = 0  # rows of the source that cannot be read at all
    cut: int = 0  # rows of the source that were not looked at, for there are too many
    unlabelled: int = 0  # rows in range whose label is not counted, for there are too many
    doubles: int = 0  # rows that are there before, with all their values
    labels: Counter[str] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)

    def add(self, at: int | None, print_: int, label: Any = None) -> None:
        """One row of the user's: its time and a hash of all its values."""
        if at is None:
            self.untimed += 1
        elif not self.wanted.start <= at <= self.wanted.end:
            self.outside += 1
        else:
            self.times.append(at)
            if label is not None:
                self.count(str(label), 1)
            before = len(self._seen)
            self._seen.add(print_)
            self.doubles += len(self._seen) == before

    def count(self, label: str, times: int) -> None:
        """So many rows in range have this label."""
        label = label[:LABEL]
        if label in self.labels or len(self.labels) < MAX_LABELS:
            self.labels[label] += times
        else:
            self.unlabelled += times
