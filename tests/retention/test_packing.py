"""Executions give the same answers whether Redis or the object store holds them."""

from __future__ import annotations

import json
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.output import view
from knify import clock, errors, hints, model, settings
from knify import core as core_module
from knify.core import Core
from knify.lifecycle import State
from knify.services import history, jobs, packing, retention
from knify.store import executionkeys, keys
from tests.api.parts import Api, Worker, frames
from tests.parts import fill
from tests.parts import redis as redis_part
from tests.retention.dying import dying
from tests.store import invariants

MINUTE = 60_000


def make(api: Api, worker: Worker, *, lines: int = 40, spill: int = 0, **spec: Any) -> str:
    """A finished job with output, some of it in segments of `spill` bytes."""
    job_id = api.submit(**spec)
    x = worker.run(job_id)
    for n in range(lines // 10):
        x = worker.lines(x, *(f"line {n}.{i} é" for i in range(10)), events=2)
        while spill and packing.spill(worker.core, job_id, x.fence, spill):
            pass
    worker.keep(job_id, {"a.txt": b"a", "b/c.json": b"{}"})
    worker.finish(x)
    return job_id


def age(core: Core, key: str, ms: int) -> None:
    """Make all members of a set older."""
    for member, score in core.store.client.zrange(key, 0, -1, withscores=True):
        core.store.client.zadd(key, {member: score - ms})


def pack_all(core: Core) -> None:
    age(core, keys.ENDED, 10 * MINUTE)
    retention.tidy(core)
    assert core.store.client.zcard(keys.ENDED) == 0


def answers(api: Api, job_id: str) -> dict[str, str]:
    """What the API says of a job, streams included and cut at some places."""
    job = f"/jobs/{job_id}"
    paths = [
        *(job, "/jobs", "/jobs?status=completed&limit=10", "/jobs?metadata.team=a"),
        *(f"{job}/events", f"{job}/output", f"{job}/output?raw=1", f"{job}/cursor"),
        *(f"{job}/events/stream", f"{job}/output/stream", f"{job}/output/stream?raw=1"),
        *(f"{job}/artifacts", f"{job}/artifacts/a.txt"),
    ]
    paths += [f"{job}/output/stream?raw=1&after={n}" for n in (1, 5, 17, 39, 40, 41)]
    paths += [f"{job}/output/stream?after={n}" for n in ("1.0", "1.1", "17.0", "40", "41.0")]
    paths += [f"{job}/events/stream?after={n}" for n in (1, 3, 8)]
    return {path: f"{(a := api.get(path)).status_code} {a.text}" for path in paths}


@pytest.mark.parametrize("spill", [0, 700, 5000])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [1, 300, 64 * 1024])
def test_streams_tell_all_that_the_whole_output_does_wherever_a_client_begins(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch,
    spill: int, packed: bool, size: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(view, "SIZE", size)  # characters of one reading
    monkeypatch.setattr(view, "_FIRST", 3)
    job_id = make(api, worker, spill=spill)
    if packed:
        pack_all(core)
    for how in ("", "?raw=1"):
        whole = api.get(f"/jobs/{job_id}/output{how}").get_json()["events"]
        path = f"/jobs/{job_id}/output/stream{how}"
        seen = frames(api.get(path).text)
        assert [data for _, data in seen if "type" in data or "n" in data] == whole
        for n in (0, 1, 2, 9, 10, 19, len(seen) - 2):
            rest = api.get(path, headers={"Last-Event-ID": seen[n][0]})
            assert frames(rest.text) == seen[n + 1 :]
        assert api.get(path, headers={"Last-Event-ID": seen[-1][0]}).status_code == 204
    assert frames(api.get(f"/jobs/{job_id}/output/stream?after=0.7").text)[0][0] == "1.0"


@pytest.mark.parametrize("spill", [0, 700, 5000])
def test_every_answer_is_the_same_before_and_after_packing(
    api: Api, worker: Worker, core: Core, spill: int
) -> None:
    job_id = make(api, worker, spill=spill, metadata={"team": "a"}, env={"A": "é"})
    before = answers(api, job_id)
    assert before[f"/jobs/{job_id}/output/stream?raw=1"].count("data: ") == 40

    pack_all(core)

    assert answers(api, job_id) == before
    client = core.store.client
    assert {"state", "completed_at", "row"} <= set(client.hkeys(keys.execution(job_id)))
    assert client.object("encoding", keys.execution(job_id)) == "listpack"
    parts = (executionkeys.events, executionkeys.output, executionkeys.segments)
    assert client.exists(*(key(job_id) for key in parts)) == 0
    x = core.store.executions.find(job_id)
    assert x is not None
    assert (x.entries, x.lines, x.exit_code, x.packed) == (41, 40, 0, True)


def test_long_fields_are_cut_in_lists_alike_and_whole_in_the_job(
    api: Api, worker: Worker, core: Core
) -> None:
    env = {f"V{n}": "v" * 50 for n in range(50)}
    metadata = {"team": "a", "big": ["x" * 100] * 30}
    job_id = make(api, worker, command="echo " + "😀" * 1000, env=env, metadata=metadata)
    before = answers(api, job_id)

    pack_all(core)

    assert answers(api, job_id) == before
    row = api.get("/jobs").get_json()[0]
    assert row["is_brief"] is True
    assert row["spec"]["job_type"] == "command_task"
    assert row["spec"]["command"].endswith("…")
    assert row["metadata"] == {"team": "a"}
    assert api.get(f"/jobs/{job_id}").get_json()["spec"]["env"] == env
    assert core.store.client.memory_usage(keys.execution(job_id)) <= 2048


def test_the_parent_of_a_continuation_may_be_packed(api: Api, worker: Worker, core: Core) -> None:
    job_id = make(api, worker)
    pack_all(core)

    answer = api.post(f"/jobs/{job_id}/continue", {"spec": {
        "job_type": "command_task", "command": "true"}})  # fmt: skip

    assert answer.status_code == 200, answer.text
    assert answer.get_json()["parent_job_id"] == job_id
    assert api.post(f"/jobs/{job_id}/cancel").get_json()["status"] == "completed"
    assert jobs.cancel(core, "default", job_id, "x").state is State.COMPLETED


def test_a_packed_execution_can_be_claimed_and_written_by_nobody(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = api.submit()
    x = worker.lines(worker.run(job_id), "a")
    done = worker.finish(x)
    pack_all(core)

    claim = core.store.executions.claim(job_id, owner="o", node="n1", lease_ms=1000, slots=1)
    assert claim.verdict == "terminal"
    with pytest.raises(errors.LeaseLost):
        worker.lines(done, "b")
    with pytest.raises(errors.LeaseLost):
        core.store.executions.note(done, "stage", "detail")
    assert core.store.executions.renew([(job_id, done.fence)], lease_ms=1000) == ["lost"]


def test_one_sweep_packs_as_much_as_has_ended_and_looks_at_what_stays_once(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MOST", 2)
    ended = [api.submit() for _ in range(5)]
    for job_id in ended:
        worker.finish(worker.run(job_id))
    core.store.client.hset(keys.execution(ended[0]), "deleting", "1")  # packing leaves it alone
    age(core, keys.ENDED, 3_600_000)

    retention.tidy(core)

    assert core.store.client.zrange(keys.ENDED, 0, -1) == [ended[0]]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(6))
def test_dying_at_any_line_of_packing_loses_nothing(
    api: Api, worker: Worker, core: Core, n: int, when: str
) -> None:
    job_id = make(api, worker, spill=700)
    before = answers(api, job_id)
    scripts = core.store.retention._scripts
    with dying(n, when, (core.objects, "put"), (core.objects, "delete"), (scripts, "call")):
        packing.pack(core, job_id)

    assert answers(api, job_id) == before
    packing.pack(core, job_id)
    assert answers(api, job_id) == before


def test_whoever_reads_while_another_packs_writes_nothing_wrong(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = make(api, worker)
    before = answers(api, job_id)
    raw = core.store.retention.raw
    late = raw(job_id)
    packing.pack(core, job_id)

    core_store = replace(core.store, retention=_Stale(core.store.retention, late))
    assert not packing.pack(replace(core, store=core_store), job_id)  # type: ignore[arg-type]
    assert answers(api, job_id) == before


class _Stale:
    """A reader that was frozen behind its first reading."""

    def __init__(self, real: Any, seen: Any) -> None:
        self._real, self._seen = real, [seen]

    def raw(self, execution_id: str) -> Any:
        return self._seen.pop() if self._seen else self._real.raw(execution_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_packing_waits_for_an_object_store_that_is_away(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(api, worker)
    before = answers(api, job_id)
    age(core, keys.ENDED, 10 * MINUTE)

    def away(*_: Any) -> None:
        raise errors.ObjectStoreError

    monkeypatch.setattr(core.objects, "put", away)
    retention.tidy(core)
    assert answers(api, job_id) == before
    monkeypatch.undo()
    retention.tidy(core)

    x = core.store.executions.find(job_id)
    assert x is not None
    assert x.packed
    assert answers(api, job_id) == before


def test_readers_miss_and_double_nothing_while_output_moves_under_them(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = api.submit()
    x = worker.run(job_id)
    seen: list[list[str | None]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            after, lines = 0, []
            while page := list(history.output(core, job_id, after=after, most=7)):
                after = page[-1].seq
                lines += [entry.line for entry in page]
            seen.append(lines)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(60):
        x = worker.lines(x, *(f"{n}-{i}" for i in range(10)))
        packing.spill(core, job_id, x.fence, 900)
    worker.finish(x)
    packing.pack(core, job_id)
    stop.set()
    for reader in readers:
        reader.join()

    expected = [f"{n}-{i}" for n in range(60) for i in range(10)]
    assert len(seen) > 3
    assert all(lines[:600] == expected[: len(lines)] for lines in seen)


def test_the_last_lines_of_a_long_output_need_only_the_last_segment(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(api, worker, lines=200, spill=1000)
    pack_all(core)
    x = core.store.executions.get(job_id, tenant="default")
    opened: list[str] = []
    open_ = core.objects.open
    monkeypatch.setattr(core.objects, "open", lambda key: (opened.append(key), open_(key))[1])

    last = list(history.output(core, job_id, after=x.entries - 5))

    assert [entry.seq for entry in last] == list(range(x.entries - 4, x.entries + 1))
    assert sum("/output/" in key for key in opened) <= 2


def test_a_damaged_or_lost_object_is_said_and_not_taken_for_the_end(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = make(api, worker, spill=700)
    pack_all(core)
    history._known.clear()
    core.objects.put(f"executions/{job_id}/record", [b"not zstd"])

    assert api.get(f"/jobs/{job_id}/output").status_code == 503
    assert api.get("/jobs").status_code == 200
    core.objects.delete(f"executions/{job_id}/record")
    assert api.get(f"/jobs/{job_id}").status_code == 503


# Redis counts what its allocator hands out: jemalloc in steps, the C library without what it keeps
# before each piece.
@pytest.mark.parametrize(
    ("searchable", "jemalloc"), [(0, False), (3, False), (8, False), (0, True), (3, True)]
)
def test_a_packed_job_costs_less_than_two_kibibytes_of_redis(
    config: settings.Settings, searchable: int, jemalloc: bool
) -> None:
    with tempfile.TemporaryDirectory(prefix="kn-") as folder:
        server = redis_part.start(Path(folder), jemalloc=jemalloc)
        own = core_module.connect(replace(config, redis_url=server.url), hints.RecordedHints())
        filled = fill.Store(own)
        filled.jobs(1000, metadata=searchable)

        size = filled.size()

        server.stop()
    assert size / 1000 <= 2048, size / 1000
    print(f"{size / 1000:.0f} bytes for each packed job with {searchable} unique metadata values")


def test_a_filled_store_is_what_real_jobs_leave(api: Api, worker: Worker, core: Core) -> None:
    """The benchmarks and the bound above measure jobs that no worker ran: they are no cheaper."""
    request = {"command": "python train.py --run 1", "metadata": {"team": "a", "run": 1}}
    real = jobs.submit(core, "default", jobs.Submission(request | {"job_type": "command_task"}))
    worker.finish(worker.lines(_started(worker, real.execution.id), "epoch 1"))
    pack_all(core)
    client = core.store.client
    lists = {key: n for key in client.scan_iter() if (n := _members(client, key))}
    fill.Store(core).jobs(1, metadata=2)
    found = core.store.listing.page("default").executions

    made = next(x for x in found if x.id != real.execution.id)

    for key in (keys.execution, keys.sandbox):
        mine, other = (
            key(x.id if key is keys.execution else x.sandbox_id) for x in (made, real.execution)
        )
        assert set(client.hkeys(mine)) >= set(client.hkeys(other))
        assert client.memory_usage(mine) >= 0.95 * client.memory_usage(other)
    once = {keys.job_types("default"), keys.api_keys("default"), "knify:served"}
    assert {key: _members(client, key) for key in lists} == {
        key: n if key in once else 2 * n for key, n in lists.items()
    }
    assert invariants.problems(core.store) == []


def _members(client: Any, key: str) -> int:
    kind = client.type(key)
    return int(client.zcard(key) if kind == "zset" else client.scard(key) if kind == "set" else 0)


def _started(worker: Worker, job_id: str) -> model.Execution:
    claim = worker.core.store.executions.claim(
        job_id, owner="host/boot/1/1", node="n1", lease_ms=60_000, slots=100
    )
    assert claim.execution is not None
    x = claim.execution
    made = {"state": "active", "node": "n1", "container": "c" * 64}
    for state in (State.STAGING, State.PROVISIONING):
        x = worker.core.store.executions.move(x, state).execution
    x = worker.core.store.executions.note(x, "sandbox_created", "made", sandbox=made)
    for state in (State.READY, State.RUNNING):
        x = worker.core.store.executions.move(x, state).execution
    return x


def test_a_row_is_what_the_record_said() -> None:
    fields = {
        "id": "job_1", "tenant": "t", "state": "failed", "job_type": "command_task",
        "request": json.dumps({"job_type": "command_task", "prompt": "x" * 9000}),
        "created_at": "1", "state_changed_at": str(clock.now_ms()), "sandbox_id": "s",
        "error": "\ud800" * 5000, "metadata": json.dumps({f"k{n}": "é" * 64 for n in range(50)}),
    }  # fmt: skip

    assert len(packing.row(fields)) <= 2048
