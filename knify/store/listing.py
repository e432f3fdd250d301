"""Lists of a tenant's executions, newest first, by any combination of what they are found by.

Whatever the number of records, a page costs a few index look-ups and its own rows. What several
words must meet is looked for among those with the rarest of them, in short calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Final, TypedDict, Unpack

from knify import model
from knify.lifecycle import State
from knify.store import codec, keys, terms
from knify.store.redis import Client, Scripts, pairs

_FIRST: Final = 0
_LAST: Final = 2**52 - 1  # moments are 13 hexadecimal digits
_UNLISTED: Final = ("spec", "said", "outcome", "stopping", "packed", "is_brief")
#: What is read of a record for a list.
_LISTED: Final = (
    *(one.name for one in fields_of(model.Execution) if one.name not in _UNLISTED),
    *("job_type", "priority", "schema", "expiring"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some executions of a list, newest first."""

    executions: list[model.Execution]
    total: int
    total_is_estimate: bool = False
    next: int | None = None  # the moment behind which the list goes on; None: it ends here


@dataclass(frozen=True, slots=True)
class Found:
    """The ids of a page, newest first, and what else is known of the list; as in `Page`."""

    names: list[str]
    total: int
    is_estimate: bool = False
    next: int | None = None


class Asked(TypedDict, total=False):
    """What a list is asked for. Times in ms, exclusive."""

    states: Sequence[str]  # none: any
    job_type: str | None  # `terms.TASK` stands for all tasks
    metadata: Mapping[str, str] | None  # as text, compared with texts, numbers and booleans
    parent: str | None  # only children of this task
    created_after: int | None
    created_before: int | None
    #: Only those older than this moment, such as the `next` of another page. Of a combination
    #: there may be fewer than `limit`, and still a `next`.
    before: int | None
    offset: int
    limit: int  # 100 unless said


class Listing:
    """Lists of a tenant's executions from the indexes."""

    #: Up to how many candidates a combination's total is counted.
    SCAN = 10_000
    #: About how many look-ups one call makes, so that it keeps others waiting for some ms at most.
    STEPS = 1_000
    #: After how many of them an answer may be short where there are more candidates than SCAN.
    PATIENCE = 20_000

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def page(self, tenant: str, **asked: Unpack[Asked]) -> Page:
        """Executions newest first; see `find`."""
        found = self.find(tenant, **asked)
        return Page(self.records(found.names), found.total, found.is_estimate, found.next)

    def find(self, tenant: str, **asked: Unpack[Asked]) -> Found:
        """Their ids. `total` is exact, but an estimate when metadata is combined with anything but
        times and there are more than SCAN candidates.
        """
        groups = self._groups(
            tenant, asked.get("states", ()), asked.get("job_type"), asked.get("metadata") or {}
        )
        if parent := asked.get("parent"):
            groups.append([terms.of_parent(parent)])
        created_after, created_before = asked.get("created_after"), asked.get("created_before")
        before, offset, limit = asked.get("before"), asked.get("offset", 0), asked.get("limit", 100)
        high = _LAST if created_before is None else min(created_before * 1000, _LAST)
        high = high if before is None else min(high, before)
        low = _FIRST if created_after is None else created_after * 1000 + 999
        low = max(_FIRST, min(low, _LAST))
        if not all(groups):
            return Found([], 0)
        if len(groups) > 1:
            return self._matched(tenant, groups, max(high, _FIRST), low, offset, limit)
        words = json.dumps(groups[0] if groups else [])
        flat = self._scripts.call("page", tenant, words, max(high, _FIRST), low, offset, limit)
        total, moments, names = int(flat[0]), flat[1::2], flat[2::2]
        more = total > offset + len(names)
        following = int(moments[-1]) if more and moments else None
        return Found(names, total, next=following)

    def moment(self, tenant: str, execution_id: str) -> int | None:
        """Where in the list it stands; None when it does not."""
        score = self._client.zscore(keys.executions(tenant), execution_id)
        return None if score is None else int(score)

    def _groups(
        self,
        tenant: str,
        states: Sequence[str],
        job_type: str | None,
        metadata: Mapping[str, str],
    ) -> list[list[str]]:
        """One of the words of each group must belong to an execution."""
        groups = [[terms.word(name, text)] for name, text in metadata.items()]
        if states or job_type is not None:
            known = self._client.smembers(keys.job_types(tenant))
            kinds = sorted(known) if job_type is None else [job_type]
            groups.append(terms.of_kinds(states or list(State), kinds))
        return groups

    def _matched(
        self,
        tenant: str,
        groups: list[list[str]],
        before: int,
        after: int,
        offset: int,
        limit: int,
    ) -> Found:
        """Looks until the page is full and the total told, or for too long.

        One more hit says that there is more.
        """
        moments: list[int] = []
        hits, looked, spent, all_of_them, position = 0, 0, 0, 0, before
        while True:
            skip, want = max(0, offset - hits), limit - len(moments)
            few, n, steps, left, more, *found = self._scripts.call(
                "match", tenant, json.dumps(groups), position, after, self.STEPS, skip, want
            )
            all_of_them, looked, spent = (
                all_of_them or int(few),
                looked + int(n),
                spent + int(steps),
            )
            moments, hits = moments + list(map(int, found)), hits + int(more)
            if left == "":
                break
            position = int(left)
            is_enough = hits > offset + limit or spent >= self.PATIENCE
            if all_of_them > self.SCAN and is_enough:
                break
        over = left == ""
        rest = 0 if over else max(1, hits * max(0, all_of_them - looked) // looked)
        following = None if over else position
        if hits > offset + limit:
            following = moments[-1] if moments else position
        return Found(self._names(tenant, moments), hits + rest, not over, following)

    def _names(self, tenant: str, moments: Sequence[int]) -> list[str]:
        pipe = self._client.pipeline(transaction=False)
        for moment in moments:
            pipe.zrangebyscore(keys.executions(tenant), moment, moment)
        return [name for names in (pipe.execute() if moments else ()) for name in names]

    def records(self, names: Sequence[str]) -> list[model.Execution]:
        """All rows in one round trip, and neither an object nor a long request is read."""
        rows = self._scripts.call("rows", json.dumps(_LISTED), *names) if names else ()
        found = zip(names, (pairs(flat) for flat in rows), strict=True)
        return [codec.listed(fields, name) for name, fields in found if codec.is_there(fields)]
