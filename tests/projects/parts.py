"""Jobs of projects, their due times and their runs, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from knify import clock, model
from knify.core import Core
from knify.definitions import Definition
from knify.lifecycle import TERMINAL, State
from knify.services import schedules
from knify.store import jobkeys, keys
from tests.api.parts import Api, Worker

PATH = "/v1/workspaces/default/projects/p1/jobs"
ECHO = {"name": "echo", "command": "echo hello"}
MINUTE = 60_000


def made(api: Api, **body: Any) -> dict[str, Any]:
    """A job, as its answer shows it."""
    answer = api.post(PATH, ECHO | body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()["data"]
    return found


def definition(core: Core, name: str = "echo", **body: Any) -> Definition:
    """A job on a schedule, of the tenant `default`."""
    body = {"name": name, "command": "echo hello", "schedule": "* * * * *"} | body
    return schedules.create(core, "default", "p1", body, id=f"jobdef_{name}")


def make_due(core: Core, d: Definition, minutes: float) -> int:
    """Its next due time was so long ago, by the minute; when that was."""
    now = core.store.registry.now_ms()
    at = (now - int(minutes * MINUTE)) // MINUTE * MINUTE
    core.store.client.hset(jobkeys.definition(d.id), "next_at", at)
    core.store.client.zadd(keys.CRON, {d.id: at + d.jitter_ms})
    return at


def runs(core: Core, d: Definition) -> list[model.Execution]:
    """All of its runs, oldest first."""
    names, _ = core.store.runs.page(d.id, offset=0, limit=1_000)
    return core.store.executions.get_many(names[::-1])


def times(core: Core, d: Definition) -> list[int]:
    """The due times of its runs, oldest first."""
    return [x.run.scheduled_at or 0 for x in runs(core, d) if x.run]


def end(worker: Worker, run_id: str, to: State) -> None:
    """Take a run to its end."""
    x = worker.run(run_id)
    if to is State.CANCELLED:
        worker.core.store.executions.cancel(run_id, "enough", {"t": 1, "e": []})
    worker.finish(x, to)


def ran(core: Core, d: Definition, run_id: str, began: int, ended: int | None) -> None:
    """As if a run that has begun had done so then."""
    client = core.store.client
    client.zadd(jobkeys.spans(d.id), {run_id: span(began, ended)})
    if ended is not None:
        client.zadd(jobkeys.ends(d.id), {run_id: ended})


def span(began: int, ended: int | None) -> int:
    """Its place among its definition's runs by length and beginning."""
    if ended is None:
        return began
    k = next(k for k in range(1, 40) if ended - began < 1000 * 2**k)
    return k * 2**42 + began


def problems(core: Core) -> Iterator[str]:
    """Whatever of definitions does not fit to their runs."""
    client = core.store.client
    for key in client.scan_iter("knify:d:*", _type="hash"):
        _, _, name, *more = key.split(":")
        if more:
            continue
        seen = core.store.executions.get_many(client.zrange(jobkeys.runs(name), 0, -1))
        counts: dict[str, int] = {}
        for x in seen:
            counts[x.state.value] = counts.get(x.state.value, 0) + 1
        if counts != core.store.runs.counts(name):
            yield f"{name} counts {core.store.runs.counts(name)}, there are {counts}"
        live = client.smembers(jobkeys.live(name))
        waiting = set(client.zrange(keys.RETRIES, 0, -1))
        wanted = {x.id for x in seen if x.state not in TERMINAL or x.id in waiting}
        if live != wanted:
            yield f"{name} has live {live}, wanted are {wanted}"
        ended = {x.id for x in seen if x.state in TERMINAL and x.id not in waiting}
        listed = set(client.zrange(f"knify:d:{name}:good", 0, -1))
        listed |= set(client.zrange(f"knify:d:{name}:bad", 0, -1))
        listed |= set(client.zrange(keys.RUNS_OVER, 0, -1)) & ended
        if listed != ended:
            yield f"{name} lists {listed} as ended, {ended} are"
        began = {x.id: span(x.started_at, x.completed_at) for x in seen if x.started_at}
        spans = {n: int(at) for n, at in client.zrange(jobkeys.spans(name), 0, -1, withscores=True)}
        if spans != began:
            yield f"{name} has the spans {spans}, wanted are {began}"
        ends = {n: int(at) for n, at in client.zrange(jobkeys.ends(name), 0, -1, withscores=True)}
        if ends != {x.id: x.completed_at for x in seen if x.started_at and x.completed_at}:
            yield f"{name} has the ends {ends}"


def minute_of(core: Core) -> int:
    """The minute that it is, by Redis."""
    return core.store.registry.now_ms() // MINUTE * MINUTE


def shown(ms: int) -> str:
    """As answers show a time."""
    return clock.rfc3339(ms)
