"""Due times make runs: each at most one, whoever dies or does it twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from knify.core import Core
from knify.definitions import Definition
from knify.lifecycle import State
from knify.services import firing, jobs, packing, schedules
from knify.store import keys
from tests.api.parts import Api, Worker
from tests.projects import parts
from tests.projects.parts import MINUTE
from tests.store import invariants


class Killed(BaseException):
    """The beat died here."""


@pytest.fixture
def beat(core: Core) -> firing.Firing:
    return firing.Firing(core)


def test_a_due_time_makes_a_run_and_the_next_one_is_planned(
    core: Core, beat: firing.Firing
) -> None:
    d = parts.definition(core)
    at = parts.make_due(core, d, 0)

    while beat.work():
        pass

    (x,) = parts.runs(core, d)
    assert x.run is not None
    assert (x.run.trigger, x.run.scheduled_at, x.name, x.definition) == (
        "schedule",
        at,
        "echo",
        d.id,
    )
    assert core.hints.sent == [("knify.advance", x.id, "")]  # type: ignore[attr-defined]
    left = core.store.definitions.find(d.id)
    assert left is not None and (left.last_at, left.next_at) == (at, at + MINUTE)
    assert core.store.client.zscore(keys.CRON, d.id) == at + MINUTE
    assert 0 < (core.store.definitions.wait_ms() or 0) <= MINUTE


def test_with_nothing_to_come_there_is_nothing_to_wait_for(core: Core, beat: firing.Firing) -> None:
    parts.definition(core, schedule=None)

    assert beat.work() == 0
    assert core.store.definitions.wait_ms() is None


@pytest.mark.parametrize(
    ("catch_up", "late", "runs"),
    [("none", 29, 1), ("none", 31, 0), ("latest", 50, 1), ("all", 50, 4)],
)
def test_what_was_missed_is_made_up_for_as_the_job_says(
    core: Core, beat: firing.Firing, catch_up: str, late: int, runs: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    d = parts.definition(core, catch_up=catch_up, schedule="* * * * *")
    first = parts.make_due(core, d, 3)
    newest = first + 3 * MINUTE
    at_that_moment(core, newest + late * 1000, monkeypatch)

    beat.work()

    found = parts.times(core, d)
    assert found == [first + n * MINUTE for n in range(4)][4 - runs :]
    left = core.store.definitions.find(d.id)
    assert left is not None and left.next_at == newest + MINUTE
    assert (left.skip_reason is not None) == (runs < 4)


def at_that_moment(core: Core, now: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is taken then (ms), however fast the machine is."""
    take = core.store.definitions.take
    monkeypatch.setattr(core.store.definitions, "take", lambda most: (now, take(most)[1]))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(3))
def test_wherever_a_beat_dies_its_times_make_one_run_each(
    core: Core, monkeypatch: pytest.MonkeyPatch, n: int, when: str
) -> None:
    made = [parts.definition(core, f"d{i}", catch_up="all") for i in range(3)]
    firsts = [parts.make_due(core, d, i) for i, d in enumerate(made)]
    scripts = core.store.definitions._scripts
    call, counter = scripts.call, itertools.count()

    def dying(*arguments: Any) -> Any:
        turn = next(counter)
        answer = call(*arguments) if turn < n or (turn == n and when == "after") else None
        if turn >= n:
            raise Killed
        return answer

    monkeypatch.setattr(scripts, "call", dying)
    with pytest.raises(Killed):
        while True:
            firing.Firing(core).work()
    monkeypatch.setattr(scripts, "call", call)
    for d in made:  # as after the moment for which the dead one had taken them
        core.store.client.zadd(keys.CRON, {d.id: 0}, xx=True)
    while firing.Firing(core).fire():
        pass

    for i, (d, first) in enumerate(zip(made, firsts, strict=True)):
        assert parts.times(core, d) == [first + k * MINUTE for k in range(i + 1)]
    assert list(parts.problems(core)) == []


def test_several_beats_at_once_make_each_run_once(core: Core) -> None:
    made = [parts.definition(core, f"d{n}") for n in range(30)]
    for d in made:
        parts.make_due(core, d, 0)

    def work() -> None:
        beat = firing.Firing(core)
        while beat.fire():
            pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len(parts.runs(core, d)) for d in made] == [1] * 30


def test_a_beat_that_was_frozen_fires_nothing_that_was_fired_or_changed_meanwhile(
    core: Core, beat: firing.Firing
) -> None:
    fired, changed, dropped = (parts.definition(core, n) for n in ("a", "b", "c"))
    for d in (fired, changed, dropped):
        parts.make_due(core, d, 0)
    now, taken = core.store.definitions.take(10)
    steps = [beat._step(d, now) for d in taken]
    core.store.client.zadd(keys.CRON, {fired.id: 0}, xx=True)
    beat.fire()
    schedules.change(core, "default", "p1", changed.id, {"schedule": "0 0 1 1 *"})
    schedules.delete(core, "default", "p1", dropped.id, aside=lambda f: f())

    answer = core.store.definitions.fire([step for step in steps if step])

    assert answer.made == [] and sorted(answer.stale) == [fired.id, changed.id, dropped.id]
    assert [len(parts.runs(core, d)) for d in (fired, changed)] == [1, 0]
    assert core.store.client.zscore(keys.CRON, dropped.id) is None


def test_what_a_schedule_was_before_a_change_is_not_made_up_for(
    core: Core, beat: firing.Firing
) -> None:
    d = parts.definition(core, catch_up="all")
    parts.make_due(core, d, 10)

    schedules.change(core, "default", "p1", d.id, {"schedule": "*/7 * * * *"})

    assert beat.fire() == 0


@pytest.mark.parametrize("hours", [2, 4, 24 * 365])
def test_a_clock_that_was_put_back_far_is_believed(
    core: Core, beat: firing.Firing, hours: int
) -> None:
    minute = parts.minute_of(core)
    # Half an hour from now: no real time comes while the test runs.
    d = parts.definition(core, schedule=f"{(minute // MINUTE + 30) % 60} * * * *")
    ahead = minute + hours * 3_600_000
    core.store.client.hset(f"knify:d:{d.id}", mapping={"last_at": ahead, "next_at": ahead + MINUTE})
    core.store.client.zadd(keys.CRON, {d.id: ahead + MINUTE})
    core.store.client.set(keys.FIRED, ahead)

    before = core.store.registry.now_ms()
    beat.work()

    left = core.store.definitions.find(d.id)
    assert left is not None and left.next_at is not None
    if hours < 3:  # it is waited for: no time may come twice
        assert left.next_at == ahead + MINUTE
        return
    assert before < left.next_at <= core.store.registry.now_ms() + 60 * MINUTE
    assert left.skip_reason == "the clock was put back" and parts.runs(core, d) == []
    assert core.store.client.zscore(keys.CRON, d.id) == left.next_at
    assert schedules.change(core, "default", "p1", d.id, {"suspended": True}).next_at is None


# While earlier runs go on


def due_again(core: Core, beat: firing.Firing, d: Definition) -> None:
    """The next minute is now."""
    left = core.store.definitions.find(d.id)
    assert left is not None
    at = left.last_at + MINUTE if left.last_at else parts.minute_of(core) - 10 * MINUTE
    core.store.client.hset(f"knify:d:{d.id}", "next_at", at)
    core.store.client.zadd(keys.CRON, {d.id: at})
    beat.work()


def test_forbid_skips_while_a_run_goes_on(core: Core, beat: firing.Firing, worker: Worker) -> None:
    d = parts.definition(core, concurrency_policy="forbid", schedule="0 0 1 1 *")
    due_again(core, beat, d)
    due_again(core, beat, d)
    (first,) = parts.runs(core, d)
    skipped = core.store.definitions.find(d.id)

    parts.end(worker, first.id, State.COMPLETED)
    due_again(core, beat, d)

    assert skipped is not None and skipped.skip_reason == "an earlier run has not ended"
    assert len(parts.runs(core, d)) == 2


def test_replace_ends_what_goes_on(core: Core, beat: firing.Firing, worker: Worker) -> None:
    d = parts.definition(core, concurrency_policy="replace", schedule="0 0 1 1 *")
    due_again(core, beat, d)
    (first,) = parts.runs(core, d)
    worker.run(first.id)

    due_again(core, beat, d)
    due_again(core, beat, d)

    old, waiting, new = parts.runs(core, d)
    assert old.cancel_reason == "replaced by a newer run" and old.state is State.RUNNING
    assert (waiting.state, waiting.error) == (State.CANCELLED, "replaced by a newer run")
    assert new.state is State.PENDING and new.cancel_requested_at is None
    assert list(parts.problems(core)) == []


def test_allow_lets_them_run_side_by_side(core: Core, beat: firing.Firing) -> None:
    d = parts.definition(core, schedule="0 0 1 1 *")

    for _ in range(3):
        due_again(core, beat, d)

    assert [x.state for x in parts.runs(core, d)] == [State.PENDING] * 3


# What cannot be run


def test_a_run_that_cannot_be_made_says_why_and_the_next_time_comes(
    core: Core, beat: firing.Firing
) -> None:
    d = parts.definition(core)
    body = '{"request": {"job_type": "command_task", "command": "x", "image": "evil:1"}}'
    core.store.client.hset(f"knify:d:{d.id}", "body", body)
    at = parts.make_due(core, d, 0)

    beat.work()

    left = core.store.definitions.find(d.id)
    assert left is not None and "not allowed" in (left.skip_reason or "")
    assert left.next_at == at + MINUTE and parts.runs(core, d) == []


# Retries


def retry_now(core: Core, beat: firing.Firing) -> None:
    """As if their time had come."""
    for name in core.store.client.zrange(keys.RETRIES, 0, -1):
        core.store.client.zadd(keys.RETRIES, {name: 0})
    beat.work()


def test_a_failed_run_is_tried_again_after_ever_longer_pauses(
    core: Core, beat: firing.Firing, worker: Worker
) -> None:
    d = parts.definition(core, retries=2, retry_backoff_seconds=100, schedule=None)
    new = schedules.trigger(core, d, {"env": {"X": "1"}}, id="run_first")
    pauses = []
    for _ in range(3):
        newest = parts.runs(core, d)[-1]
        parts.end(worker, newest.id, State.FAILED)
        for _, score in core.store.client.zrange(keys.RETRIES, 0, -1, withscores=True):
            pauses.append(round((score - core.store.registry.now_ms()) / 1000))
        assert list(parts.problems(core)) == []
        retry_now(core, beat)

    found = parts.runs(core, d)

    assert [x.run.attempt for x in found if x.run] == [1, 2, 3]
    assert [x.run.trigger for x in found if x.run] == ["manual", "retry", "retry"]
    assert [x.retry_of for x in found] == [None, new.id, found[1].id]
    assert found[2].spec.env == {"X": "1"} and found[2].name == "echo"
    assert pauses == [100, 200]
    assert core.store.client.zcard(keys.RETRIES) == 0


def test_a_retried_run_goes_on_in_the_trace_of_the_first(
    core: Core, beat: firing.Firing, worker: Worker, spans: Any
) -> None:
    d = parts.definition(core, retries=1)
    parts.make_due(core, d, 0)
    beat.work()
    (first,) = parts.runs(core, d)
    parts.end(worker, first.id, State.FAILED)
    packing.pack(core, first.id)

    retry_now(core, beat)

    again = parts.runs(core, d)[1]
    assert again.traceparent is not None
    assert again.traceparent == first.traceparent


def test_what_succeeds_or_is_cancelled_is_not_tried_again(
    core: Core, beat: firing.Firing, worker: Worker
) -> None:
    d = parts.definition(core, retries=2, schedule=None)
    for n, to in enumerate((State.COMPLETED, State.CANCELLED)):
        schedules.trigger(core, d, {}, id=f"run_{n}")
        parts.end(worker, f"run_{n}", to)

    retry_now(core, beat)

    assert len(parts.runs(core, d)) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_a_beat_dies_a_failed_run_is_tried_again_once(
    core: Core, worker: Worker, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = parts.definition(core, retries=1, schedule=None)
    schedules.trigger(core, d, {}, id="run_0")
    parts.end(worker, "run_0", State.FAILED)
    monkeypatch.setattr(core.store.executions, "submit", _dying(core.store.executions.submit, when))
    with pytest.raises(Killed):
        retry_now(core, firing.Firing(core))
    monkeypatch.undo()

    for _ in range(2):
        retry_now(core, firing.Firing(core))

    assert [x.retry_of for x in parts.runs(core, d)] == [None, "run_0"]
    assert list(parts.problems(core)) == []


def _dying(function: Callable[..., Any], when: str) -> Callable[..., Any]:
    def dying(*arguments: Any, **more: Any) -> Any:
        if when == "after":
            function(*arguments, **more)
        raise Killed

    return dying


def test_a_retry_that_nobody_wants_any_more_does_not_come(
    core: Core, beat: firing.Firing, worker: Worker
) -> None:
    kept, dropped = (parts.definition(core, n, retries=1, schedule=None) for n in "ab")
    for d in (kept, dropped):
        schedules.trigger(core, d, {}, id=f"run_{d.name}")
        parts.end(worker, f"run_{d.name}", State.FAILED)
    packing.pack(core, "run_a")

    schedules.delete(core, "default", "p1", dropped.id, aside=lambda f: f())
    retry_now(core, beat)

    assert core.store.client.zcard(keys.RETRIES) == 0
    assert [x.retry_of for x in parts.runs(core, kept)] == [None, "run_a"]


def test_a_run_that_waits_for_its_retry_counts_as_going_on(
    core: Core, beat: firing.Firing, worker: Worker
) -> None:
    d = parts.definition(core, retries=1, concurrency_policy="forbid", schedule="0 0 1 1 *")
    due_again(core, beat, d)
    parts.end(worker, parts.runs(core, d)[0].id, State.FAILED)

    due_again(core, beat, d)

    assert len(parts.runs(core, d)) == 1
    jobs.cancel(core, "default", parts.runs(core, d)[0].id, "too late")  # it has ended: harmless
    retry_now(core, beat)
    assert len(parts.runs(core, d)) == 2


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_run_that_waits_for_its_retry_is_cancelled_and_none_comes(
    api: Api, core: Core, beat: firing.Firing, worker: Worker, *, is_packed: bool
) -> None:
    d = parts.definition(core, retries=1, concurrency_policy="forbid", schedule=None)
    schedules.trigger(core, d, {}, id="run_a")
    parts.end(worker, "run_a", State.FAILED)
    if is_packed:
        assert packing.pack(core, "run_a")
    path = f"{parts.PATH}/{d.id}"

    first, again = (api.post(f"{path}/runs/run_a/cancel") for _ in range(2))
    retry_now(core, beat)

    assert (first.status_code, first.get_json()["data"]["status"]) == (200, "cancelled")
    assert (again.status_code, again.get_json()["code"]) == (409, "RUN_ALREADY_TERMINAL")
    assert api.get(f"{path}/runs/run_a").get_json()["data"]["status"] == "cancelled"
    counts = api.get(f"{path}/status").get_json()["data"]["counts"]
    assert (counts["cancelled"], counts["failed"], counts["total"]) == (1, 0, 1)
    assert [x["status"] for x in api.get("/jobs?status=cancelled").get_json()] == ["cancelled"]
    assert len(parts.runs(core, d)) == 1 and core.store.client.zcard(keys.RETRIES) == 0
    assert list(parts.problems(core)) == [] and invariants.problems(core.store) == []


def test_a_retry_that_cannot_be_handled_keeps_no_other(
    core: Core, worker: Worker, beat: firing.Firing, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = parts.definition(core, retries=1, schedule=None)
    for name in ("run_a", "run_b"):
        schedules.trigger(core, d, {}, id=name)
        parts.end(worker, name, State.FAILED)
    again = beat._try_again

    def fail(x: Any, run: Any) -> None:
        if x.id == "run_a":
            raise RuntimeError
        again(x, run)

    monkeypatch.setattr(beat, "_try_again", fail)
    retry_now(core, beat)

    assert [x.retry_of for x in parts.runs(core, d)] == [None, None, "run_b"]
    later = core.store.client.zscore(keys.RETRIES, "run_a")
    assert later is not None and later > core.store.registry.now_ms()


def test_specs_are_remembered_up_to_a_size(beat: firing.Firing) -> None:
    sizes = []
    for n in range(20):
        text = f"{n}" + "x" * 1024**2
        beat._remember(("default", text), (0.0, Any))  # type: ignore[arg-type]
        sizes.append(sum(len(text) for _, text in beat._specs))
        assert beat._size == sizes[-1]

    assert 7 * 1024**2 < max(sizes) <= 8 * 1024**2
