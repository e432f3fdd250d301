"""Definitions in Redis; `lua/runs.lua` says which keys there are. See `runs.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knify import briefs, definitions, errors
from knify.definitions import Definition
from knify.store import jobkeys, keys
from knify.store.redis import Client, Scripts, changes, pairs

#: So many a tenant may have.
MOST: Final = 50_000
#: For which one beat has what it took; another one takes it then.
LEASE_MS: Final = 20_000
_AGAIN_MS: Final = 10_000  # until a dropped definition whose runs go on is looked at again
_BODY: Final = (
    *("request", "timezone", "catch_up", "starting_deadline_seconds", "suspended"),
    *("jitter_seconds", "retries", "retry_backoff_seconds", "words"),
)
#: What lists read: all but the body, whose request may be long.
_ROW: Final = (
    *("id", "tenant", "project", "name", "row", "rev", "schedule", "policy", "tags", "dropped"),
    *("keep_good", "keep_bad", "next_at", "last_at", "skipped_at", "skip_reason"),
    *("created_at", "updated_at"),
)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as `fire.lua` takes it."""

    id: str
    record: str  # JSON of texts
    sandbox_id: str
    sandbox: str  # JSON of texts
    detail: str  # of its first event
    words: str  # see `terms.py`, one behind the other


@dataclass(frozen=True, slots=True)
class Step:
    """What due times come to, and what was known of the definition when that was decided."""

    definition: Definition
    plan: definitions.Plan
    runs: Sequence[NewRun]


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of steps."""

    made: list[str]  # ids of runs
    looks: list[str]  # for each of them, where it is to be looked at: see `replies.look`
    asked: list[str]  # runs that were asked to end
    stale: list[str]  # definitions that somebody had changed, or fired


class Definitions:
    """All that can be done to definitions."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def put(self, d: Definition, *, rev: int | None) -> Definition:
        """Keep it; `rev`: as it was read, None for a new one. Safe to repeat when new.

        NameTaken, DefinitionChanged, TooManyDefinitions; NotFound when it was deleted.
        """
        score = d.score(d.next_at)
        flat = self._scripts.call(
            "put_definition",
            d.id,
            "" if rev is None else rev,
            changes(_fields(d)),
            json.dumps(list(d.tags)),
            "" if score is None else score,
            MOST,
            d.last_at,
        )
        return _definition(pairs(flat))

    def get(self, tenant: str, project: str, definition_id: str) -> Definition:
        """The record; NotFound also of another tenant's or project's."""
        d = self.find(definition_id)
        if d is None or (d.tenant, d.project) != (tenant, project):
            raise errors.NotFound(f"no job {definition_id}")
        return d

    def find(self, definition_id: str) -> Definition | None:
        """The record of one that is not deleted, or None."""
        fields = self._client.hgetall(jobkeys.definition(definition_id))
        return _definition(fields) if fields and "dropped" not in fields else None

    def page(
        self, tenant: str, project: str, *, tags: Sequence[str], name: str | None = None,
        offset: int, limit: int,
    ) -> tuple[list[Definition], int]:  # fmt: skip
        """A project's definitions that have all the tags, newest first, and how many there are.

        `name`: the one of this name, or none. Their requests are cut as all rows are (`briefs.py`):
        what is long in them is not read.
        """
        if name is not None:
            bearer = self._client.hget(jobkeys.names(tenant, project), name)
            ids = [bearer] if bearer else []
            found = [d for d in self._found(ids) if set(tags) <= set(d.tags)]
            return found[offset : offset + limit], len(found)
        lists = [jobkeys.definitions(tenant, project, tag) for tag in tags]
        if len(lists) > 1:
            ids = self._client.zinter(lists, aggregate="MAX")[::-1]
            total, ids = len(ids), ids[offset : offset + limit]
        else:
            index = lists[0] if lists else jobkeys.definitions(tenant, project)
            pipe = self._client.pipeline(transaction=False)
            pipe.zcard(index)
            pipe.zrevrange(index, offset, offset + limit - 1)
            total, ids = pipe.execute()
        return self._found(ids), total

    def projects(self, tenant: str) -> list[tuple[str, int, int]]:
        """(project, when it was made, how many definitions it has), oldest first."""
        rows = self._client.zrange(jobkeys.projects(tenant), 0, -1, withscores=True)
        pipe = self._client.pipeline(transaction=False)
        for name, _ in rows:
            pipe.zcard(jobkeys.definitions(tenant, name))
        counts = pipe.execute() if rows else []
        return [(name, int(at), n) for (name, at), n in zip(rows, counts, strict=True)]

    def drop(self, definition_id: str) -> list[str]:
        """Gone for everybody; its runs that were asked to end."""
        return list(self._scripts.call("drop_definition", definition_id))

    def forget(self, definition_id: str) -> bool:
        """The last of a dropped one; False while it has runs."""
        return bool(self._scripts.call("forget_definition", definition_id, _AGAIN_MS))

    # Due times

    def wait_ms(self) -> int | None:
        """Until something is due: 0 when it is, None when nothing ever will be."""
        pipe = self._client.pipeline(transaction=False)
        pipe.zrange(keys.CRON, 0, 0, withscores=True)
        pipe.zrange(keys.RETRIES, 0, 0, withscores=True)
        pipe.time()
        *first, (seconds, micros) = pipe.execute()
        now = seconds * 1000 + micros // 1000
        times = [int(rows[0][1]) for rows in first if rows]
        return max(0, min(times) - now) if times else None

    def take(self, most: int) -> tuple[int, list[Definition]]:
        """Redis's time, and definitions whose time has come; no other beat takes them for now."""
        now, *rows = self._scripts.call("take_due", most, LEASE_MS)
        return int(now), [_definition(json.loads(text)) for text in rows]

    def of_later(self, now: int) -> list[Definition]:
        """Those with a due time to come, if any was done with far ahead of now: else none."""
        fired = int(self._client.get(keys.FIRED) or 0)
        if fired <= now + definitions.BACK_MS:
            return []
        found = (self.find(one) for one in self._client.zrange(keys.CRON, 0, -1))
        return [d for d in found if d is not None]

    def believe(self) -> None:
        """The clock is right now, whatever it was."""
        self._client.delete(keys.FIRED)

    def fire(self, steps: Sequence[Step]) -> Fired:
        """Each definition moves on and makes its runs, unless it has changed since it was read."""
        flat: list[str | int] = []
        for step in steps:
            flat += _step(step)
        return Fired(*self._scripts.call("fire", *flat))

    def _found(self, ids: Sequence[str]) -> list[Definition]:
        pipe = self._client.pipeline(transaction=False)
        for one in ids:
            pipe.hmget(jobkeys.definition(one), _ROW)
        values = pipe.execute() if ids else []
        found: list[Definition] = []
        for row in values:
            fields = {name: v for name, v in zip(_ROW, row, strict=True) if v is not None}
            d = self._row(fields) if "id" in fields and "dropped" not in fields else None
            found += [] if d is None else [d]
        return found

    def _row(self, fields: Mapping[str, str]) -> Definition | None:
        """From its row, unless an older version has written it or changed it since."""
        row = json.loads(fields.get("row", "{}"))
        if row.get("rev") == int(fields["rev"]):
            return _definition({**fields, "body": fields["row"]})
        d = self.find(fields["id"])
        return d and d.evolve(request=briefs.request(d.request)[0])


def _step(step: Step) -> list[str | int]:
    d, plan = step.definition, step.plan
    moved: dict[str, str | None] = {
        "next_at": None if plan.next_at is None else str(plan.next_at),
        "last_at": str(plan.last_at),
    }
    if plan.skipped:
        moved |= {"skipped_at": str(plan.last_at), "skip_reason": plan.skipped}
    score = d.score(plan.next_at)
    flat: list[str | int] = [d.id, d.rev, d.next_at or "", changes(moved)]
    flat += ["" if score is None else score, len(step.runs)]
    for run in step.runs:
        flat += [run.id, run.record, run.sandbox_id, run.sandbox, run.detail, run.words]
    return flat


def _fields(d: Definition) -> dict[str, str | None]:
    """What its user said, and the due time that follows from that."""
    body = {name: getattr(d, name) for name in _BODY}
    row = body | {"request": briefs.request(d.request)[0], "rev": d.rev}
    numbers = {
        "rev": d.rev,
        "keep_good": d.keep_succeeded,
        "keep_bad": d.keep_failed,
        "next_at": d.next_at,
    }
    texts = {"id": d.id, "tenant": d.tenant, "project": d.project, "name": d.name}
    texts |= {"policy": d.concurrency_policy, "body": _json(body), "row": _json(row)}
    return {
        **texts,
        "schedule": d.schedule,
        **{name: None if n is None else str(n) for name, n in numbers.items()},
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _definition(fields: Mapping[str, str]) -> Definition:
    def number(name: str) -> int | None:
        return int(fields[name]) if name in fields else None

    body = json.loads(fields["body"])
    known: dict[str, Any] = {name: fields[name] for name in ("id", "tenant", "project", "name")}
    known |= {name: body[name] for name in _BODY if name in body}
    return Definition(
        **known,
        created_at=number("created_at") or 0,
        updated_at=number("updated_at") or 0,
        rev=number("rev") or 1,
        schedule=fields.get("schedule"),
        tags=tuple(json.loads(fields["tags"])),
        concurrency_policy=fields["policy"],
        keep_succeeded=number("keep_good"),
        keep_failed=number("keep_bad"),
        next_at=number("next_at"),
        last_at=number("last_at") or 0,
        skipped_at=number("skipped_at"),
        skip_reason=fields.get("skip_reason"),
    )
