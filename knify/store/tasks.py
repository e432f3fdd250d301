"""Tasks among a tenant's executions: by the ids that their users gave them, and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from knify import model
from knify.store import keys, terms
from knify.store.listing import Found, Listing
from knify.store.redis import Client, Scripts

#: What a list may be sorted by.
SORTS: Final = ("created_at", "started_at", "state_changed_at", "name")
_Find: TypeAlias = Callable[..., Found]


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks of a list."""

    tasks: list[model.Execution]
    total: int
    total_is_estimate: bool = False
    sorted_among: int | None = None  # only so many of the newest were looked at


class Tasks:
    """Lists of tasks, and who bears a user's id."""

    #: How many of the newest a list is sorted among, by anything but the time of creation.
    SORTED: Final = 10_000
    _CHUNK: Final = 1_000  # ids of one call, so that it keeps others waiting for some ms at most

    def __init__(self, client: Client, scripts: Scripts, listing: Listing) -> None:
        self._client = client
        self._scripts = scripts
        self._listing = listing

    def named(self, tenant: str, task_id: str) -> str:
        """The execution of this id: one that its user gave it, or the execution's own."""
        return self._client.hget(keys.names(tenant), task_id) or task_id

    def page(
        self,
        tenant: str,
        *,
        states: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        parent: str | None = None,
        sort: str = "created_at",
        ascending: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> Page:
        """Tasks in any of the states that have all the labels. What has no value stands last.

        `parent`: only its children; a user's id or the execution's own.
        """
        above = None if parent is None else self.named(tenant, parent)

        def find(**place: Any) -> Found:
            return self._listing.find(
                tenant,
                states=states,
                job_type=terms.TASK,
                metadata=labels,
                parent=above,
                **place,
            )

        if sort == "created_at" and not ascending:
            found = find(offset=offset, limit=limit)
            return Page(self._records(found.names), found.total, found.is_estimate)
        if sort == "created_at" and not labels and above is None:
            return self._oldest(find, offset, limit)
        return self._sorted(find, sort, ascending, offset, limit)

    def _oldest(self, find: _Find, offset: int, limit: int) -> Page:
        """The same index from its other end; what comes meanwhile moves that, so it is compared."""
        for _ in range(3):
            total = find(limit=0).total
            last = max(0, total - offset - limit)
            found = find(offset=last, limit=max(0, min(limit, total - offset)))
            if found.total == total:
                break
        return Page(self._records(found.names[::-1]), found.total, found.is_estimate)

    def _sorted(self, find: _Find, sort: str, ascending: bool, offset: int, limit: int) -> Page:
        found = find(limit=self._CHUNK)
        names, first = list(found.names), found
        while found.next is not None and len(names) < self.SORTED:
            found = find(before=found.next, limit=self._CHUNK)
            names += found.names
        is_all = found.next is None
        by_age = sort == "created_at"
        names = names[::-1] if by_age else self._in_order(names, sort, ascending)
        tasks = self._records(names[offset : offset + limit])
        if is_all:
            return Page(tasks, len(names))
        return Page(tasks, max(first.total, len(names)), first.is_estimate, len(names))

    def _records(self, names: Sequence[str]) -> list[model.Execution]:
        """Some at a time: a page may be a thousand long."""
        parts = (names[start : start + 100] for start in range(0, len(names), 100))
        return [x for part in parts for x in self._listing.records(part)]

    def _in_order(self, names: Sequence[str], sort: str, ascending: bool) -> list[str]:
        values: list[str] = []
        for start in range(0, len(names), self._CHUNK):
            values += self._scripts.call("sort_keys", sort, *names[start : start + self._CHUNK])
        rows = list(zip(names, values, strict=True))
        having = [row for row in rows if row[1]]
        key = _by_name if sort == "name" else _by_time
        having.sort(key=key, reverse=not ascending)  # stable: of equal ones the newest first
        return [name for name, _ in having] + [name for name, value in rows if not value]


def _by_name(row: tuple[str, str]) -> tuple[str, str]:
    return row[1].casefold(), row[1]


def _by_time(row: tuple[str, str]) -> int:
    return int(row[1])
