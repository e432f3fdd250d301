"""What becomes of executions after their end, and of output that is too long for Redis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from knify.store import executionkeys, keys, rows, streams, terms, workspacekeys
from knify.store.redis import Client, Scripts, pairs
from knify.store.streams import Segment

_PAGE = 1_000  # entries read at a time
_DAY_MS: Final = 86_400_000
_ORPHANED_MS: Final = 30 * _DAY_MS  # for which a node may still have to remove a sandbox


@dataclass(frozen=True, slots=True)
class Part:
    """The next output entries of a stream, as they are stored."""

    segment: Segment
    texts: list[str]
    size: int  # bytes of all of them


@dataclass(frozen=True, slots=True)
class Raw:
    """An unpacked terminal execution, apart from what its output stream holds."""

    fields: dict[str, str]
    events: list[tuple[int, dict[str, str]]]
    segments: list[Segment]
    metrics: list[str]  # points as they are stored


class Retention:
    """The moves from Redis to the object store, and out of both."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    # Output

    def part(self, execution_id: str, size: int, *, after: int = 0) -> Part | None:
        """Entries behind number `after` up to the first that makes them `size` bytes long.

        So the cuts are the same whenever they are made; fewer when there are no more. None
        when there is none.
        """
        texts: list[str] = []
        held, first = 0, 0
        while held < size:
            key = executionkeys.output(execution_id)
            page = self._client.xrange(key, f"({after}-0", "+", count=_PAGE)
            for entry_id, fields in page:
                after = int(entry_id.partition("-")[0])
                first = first or after
                texts.append(fields["d"])
                held += len(fields["d"])
                if held >= size:
                    break
            if len(page) < _PAGE:
                break
        if not texts:
            return None
        span = (streams.moment(texts[0]), streams.moment(texts[-1]))
        return Part(Segment(first, after, span), texts, held)

    def cut(self, execution_id: str, fence: int, part: Part) -> None:
        """An object holds this part now: out of Redis with it. Raises LeaseLost."""
        here = part.segment
        self._scripts.call(
            "segment", execution_id, fence, here.first, here.last, part.size, here.noted
        )

    # Packing

    def raw(self, execution_id: str) -> Raw | None:
        """What is to be packed; None when it is packed already, or not terminal."""
        flat, events, segments, metrics = self._scripts.call("raw", execution_id)
        fields = pairs(flat)
        if "completed_at" not in fields or "row" in fields or "expiring" in fields:
            return None
        return Raw(
            fields,
            [(int(entry_id.partition("-")[0]), pairs(found)) for entry_id, found in events],
            [Segment.parse(text) for text in segments],
            metrics,
        )

    def pack(self, execution_id: str, raw: Raw, row: str) -> str:
        """Leave only the row, if all is as it was read: ok, repeated, missing or changed."""
        fields = raw.fields
        verdict: str = self._scripts.call(
            "pack",
            execution_id,
            fields["completed_at"],
            fields.get("events", "0"),
            fields.get("entries", "0"),
            len(raw.segments),
            row,
            fields.get("usage", ""),
        )
        return verdict

    # Expiry

    def come(self, key: str, before_ms: int, most: int) -> list[str]:
        """Members of a set whose time has come, oldest first."""
        return list(self._client.zrangebyscore(key, "-inf", before_ms, start=0, num=most))

    def first(self, key: str, most: int) -> list[str]:
        """The members with the smallest scores."""
        return list(self._client.zrange(key, 0, most - 1))

    def count(self, key: str, before_ms: int) -> int:
        """How many they are."""
        return int(self._client.zcount(key, "-inf", before_ms))

    def later(self, key: str, execution_id: str, score: int) -> None:
        """Put one that makes trouble behind the others."""
        self._client.zadd(key, {execution_id: score}, xx=True)

    def leave(self, key: str, execution_id: str) -> None:
        """Nothing is to be done for it in this set."""
        self._client.zrem(key, execution_id)

    def expire_files(self, execution_id: str, *, done: bool) -> None:
        """Say that its artifacts go, or that they have gone."""
        self._scripts.call("expire_files", execution_id, "done" if done else "begin")

    def expire(self, execution_id: str, *, job_ms: int, idle: bool) -> str:
        """Take it out of all lists: expiring, kept (its sandbox lives), alive or missing.

        `idle`: not while its sandbox lives; it is then looked at again in a day.
        """
        words = self._words(execution_id)
        verdict: str = self._scripts.call(
            "expire", execution_id, "idle" if idle else "", _DAY_MS - job_ms, *words
        )
        return verdict

    def delete(self, execution_id: str) -> bool:
        """Take it out of all lists and note that it is to go; False when it is not there."""
        return bool(self._scripts.call("delete", execution_id, *self._words(execution_id)))

    def _words(self, execution_id: str) -> list[str]:
        """By what its metadata is found; they never change."""
        fields = self._client.hgetall(keys.execution(execution_id))
        if "row" in fields:
            row = rows.decode(fields)
            words = row.get("words") or terms.of_metadata(row["metadata"])
            return [*words, *terms.of({}, row.get("child_of"))]
        return terms.of(json.loads(fields.get("metadata", "{}")), fields.get("child_of"))

    def forget(self, execution_id: str) -> tuple[str, str]:
        """The last of it; the sandbox that went with it and has to be removed, and its node."""
        sandbox, node = self._scripts.call("forget", execution_id, _ORPHANED_MS)
        return sandbox, node

    # For `knify gc`

    def known(self, kind: str, names: Sequence[str]) -> list[bool]:
        """Which of these executions (x), workspaces (w) or sandboxes (s) have a record."""
        pipe = self._client.pipeline(transaction=False)
        for name in names:
            found = [f"{keys.PREFIX}{kind}:{name}"]
            # An object of workspaces may have survived the version that brought it.
            found += [workspacekeys.workspace_versions(name)] if kind == "w" else []
            pipe.exists(*found)
        return [bool(there) for there in pipe.execute()]
