"""Pausing, hot, archive, restore and drain, on a scripted node that may die at each call."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knify import errors, leases, model
from knify.lifecycle import SandboxState, State
from knify.sandbox import fakehost
from knify.services import jobs
from knify.store import keys
from knify.sweep import sweep
from tests.runner.rig import Killed, Rig, Worker, die, eventually


def configure(rig: Rig, **settings: Any) -> None:
    for name, value in settings.items():
        object.__setattr__(rig.core.settings, name, value)


def continued(rig: Rig, job: str, *argv: str) -> str:
    request = {"job_type": "command_task", "command": list(argv or ("true",))}
    return jobs.continue_(rig.core, "default", job, jobs.Submission(request)).execution.id


def ran(rig: Rig, worker: Worker, job: str) -> model.Execution:
    worker.advance(job)
    return rig.ended(job)


def sandbox(rig: Rig, job: str) -> model.Sandbox:
    found = rig.core.store.sandboxes.find(rig.job(job).sandbox_id or "")
    assert found is not None
    return found


def working(rig: Rig) -> None:
    rig.script("work", files={"a/b.txt": b"one", "run.sh": b"#!/bin/sh\n"})


def tree(rig: Rig, host: fakehost.FakeHost, job: str) -> dict[str, str]:
    root = host.volumes[rig.job(job).sandbox_id or ""]["workspace"]
    files = (path for path in sorted(Path(root).rglob("*")) if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_an_archived_sandbox_goes_on_with_all_its_files(rig: Rig) -> None:
    working(rig)
    worker = Worker(rig)
    job = rig.submit("work")
    ran(rig, worker, job)
    before = tree(rig, rig.host, job)

    assert worker.runner.keeper.archive(sandbox(rig, job).id)
    assert sandbox(rig, job).state is SandboxState.ARCHIVED
    assert rig.host.containers == {}
    assert rig.host.volumes == {}
    second = continued(rig, job)

    assert ran(rig, worker, second).state is State.COMPLETED
    assert tree(rig, rig.host, job) == before
    assert "sandbox_restored" in rig.stages(second)
    assert sandbox(rig, job).state is SandboxState.PAUSED


def test_a_worker_of_another_node_restores_what_the_first_archived(rig: Rig) -> None:
    working(rig)
    first, other = Worker(rig), Worker(rig, node="m", host=fakehost.FakeHost())
    job = rig.submit("work")
    ran(rig, first, job)
    before = tree(rig, rig.host, job)
    first.runner.keeper.archive(sandbox(rig, job).id)

    second = continued(rig, job)

    assert ran(rig, other, second).state is State.COMPLETED
    assert tree(rig, other.host, job) == before
    assert sandbox(rig, job).node == "m"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("n", range(14))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_any_call_of_an_archiving_leaves_a_paused_sandbox_or_an_archive(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(rig)
    victim, heir = Worker(rig), Worker(rig)
    job = rig.submit("work")
    ran(rig, victim, job)
    before, name = tree(rig, rig.host, job), sandbox(rig, job).id
    die(rig, victim, n, when, monkeypatch)

    try:
        victim.runner.keeper.archive(name)
    except Killed:
        pass
    monkeypatch.undo()
    second = continued(rig, job)

    eventually(lambda: heir.advance(second) or rig.job(second).state is State.COMPLETED)
    assert tree(rig, rig.host, job) == before
    assert rig.starts(second) == 1
    assert rig.core.store.sandboxes.removals("n") == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("n", range(32))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_any_call_of_a_restoring_costs_time_only(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(rig)
    victim, heir = Worker(rig), Worker(rig)
    job = rig.submit("work")
    ran(rig, victim, job)
    before, name = tree(rig, rig.host, job), sandbox(rig, job).id
    victim.runner.keeper.archive(name)
    second = continued(rig, job)
    die(rig, victim, n, when, monkeypatch)

    victim.advance(second)
    eventually(lambda: victim.died.is_set() or rig.job(second).state is State.COMPLETED)
    monkeypatch.undo()
    victim.vanish()

    eventually(lambda: heir.advance(second) or rig.job(second).state is State.COMPLETED)
    assert tree(rig, rig.host, job) == before
    assert rig.starts(second) == 1
    assert sandbox(rig, job).state is SandboxState.PAUSED


@pytest.mark.sampled(3)
@pytest.mark.parametrize("n", range(34))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_any_call_of_a_hot_turn_costs_time_only(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(rig, hot_seconds=60.0)
    working(rig)
    victim, heir = Worker(rig), Worker(rig)
    job = rig.submit("work")
    ran(rig, victim, job)
    before = tree(rig, rig.host, job)
    second = continued(rig, job)
    die(rig, victim, n, when, monkeypatch)

    victim.advance(second)
    eventually(lambda: victim.died.is_set() or rig.job(second).state is State.COMPLETED)
    monkeypatch.undo()
    victim.vanish()

    eventually(lambda: heir.advance(second) or rig.job(second).state is State.COMPLETED)
    assert tree(rig, rig.host, job) == before
    assert rig.starts(second) == 1
    heir.runner.keeper.cool_all(10)
    assert not any(box.running for box in rig.host.containers.values())
    assert rig.core.store.sandboxes.hot("n") == []


def test_a_turn_that_comes_ends_the_archiving_and_runs_at_once(rig: Rig) -> None:
    working(rig)
    worker = Worker(rig)
    job = rig.submit("work")
    ran(rig, worker, job)
    put, second = rig.core.sealed.put, []

    def late(key: str, chunks: Any) -> Any:
        stored = put(key, chunks)
        second.append(continued(rig, job))
        return stored

    object.__setattr__(rig.core, "sealed", _Sealed(late, rig.core.sealed))
    assert not worker.runner.keeper.archive(sandbox(rig, job).id)

    assert ran(rig, worker, second[0]).state is State.COMPLETED
    sweep(rig.core)
    assert list(rig.core.objects.list("sandboxes")) == []


class _Sealed:
    """The sealed store, with another `put`."""

    def __init__(self, put: Callable[..., Any], store: Any) -> None:
        self.put = put
        self.open = store.open


def test_a_hot_sandbox_is_thawed_for_the_next_turn_and_stopped_after_its_time(rig: Rig) -> None:
    configure(rig, hot_seconds=60.0)
    worker = Worker(rig)
    job = rig.submit("true")
    ran(rig, worker, job)
    box = next(iter(rig.host.containers.values()))
    assert (box.running, box.frozen) == (True, True)

    second = continued(rig, job)
    ran(rig, worker, second)
    assert rig.host.calls.count("thaw") == 1
    assert rig.host.calls.count("attach") == 1
    assert worker.runner.keeper.cool_due() > 0
    assert box.frozen

    rig.core.store.client.zadd("knify:node:n:hot", {sandbox(rig, job).id: 1})
    worker.runner.keeper.cool_due()
    assert (box.running, sandbox(rig, job).hot_until) == (False, None)
    assert ran(rig, worker, continued(rig, job)).state is State.COMPLETED


def test_no_more_sandboxes_stay_hot_than_the_node_may_have(rig: Rig) -> None:
    configure(rig, hot_seconds=60.0, hot=2)
    worker = Worker(rig)
    made = [rig.submit("true") for _ in range(4)]
    for job in made:
        ran(rig, worker, job)

    worker.runner.keeper.cool_due()

    hot = [name for name, _ in rig.core.store.sandboxes.hot("n")]
    assert hot == [rig.job(job).sandbox_id for job in made[2:]]
    worker.runner.keeper.give_memory()
    worker.runner.keeper.cool_due()
    assert len(rig.core.store.sandboxes.hot("n")) == 1


def test_a_hot_container_that_died_is_an_ordinary_one(rig: Rig) -> None:
    configure(rig, hot_seconds=60.0)
    worker = Worker(rig)
    job = rig.submit("true")
    ran(rig, worker, job)
    next(iter(rig.host.containers.values())).halt()

    assert ran(rig, worker, continued(rig, job)).state is State.COMPLETED


def test_the_oldest_beyond_the_nodes_number_are_archived(rig: Rig) -> None:
    configure(rig, paused=1)
    worker = Worker(rig)
    made = [rig.submit("true") for _ in range(3)]
    for job in made:
        ran(rig, worker, job)

    worker.runner.keeper.archive_due()

    states = [sandbox(rig, job).state for job in made]
    assert states == [SandboxState.ARCHIVED, SandboxState.ARCHIVED, SandboxState.PAUSED]


def test_those_that_were_idle_for_long_are_archived(rig: Rig) -> None:
    worker = Worker(rig)
    old, new = rig.submit("true"), rig.submit("true")
    ran(rig, worker, old)
    ran(rig, worker, new)
    rig.core.store.client.zincrby("knify:node:n:paused", -25 * 3_600_000, sandbox(rig, old).id)

    worker.runner.keeper.archive_due()

    assert sandbox(rig, old).state is SandboxState.ARCHIVED
    assert sandbox(rig, new).state is SandboxState.PAUSED


def test_a_full_node_makes_room_by_archiving_its_oldest_sandbox(rig: Rig) -> None:
    worker = Worker(rig)
    first = rig.submit("true")
    ran(rig, worker, first)
    rig.host.room = 1

    second = rig.submit("true")
    worker.advance(second)
    assert rig.job(second).state is State.PROVISIONING
    worker.runner.keeper.archive_due()
    worker.advance(second)

    assert rig.ended(second).state is State.COMPLETED
    assert sandbox(rig, first).state is SandboxState.ARCHIVED


def test_a_draining_node_archives_all_and_passes_new_jobs_on(rig: Rig) -> None:
    worker = Worker(rig)
    job = rig.submit("true")
    ran(rig, worker, job)
    beat = {"slots": 4, "cpus": 4, "memory": 2**40, "images": ["fake"]}
    rig.core.store.registry.heartbeat("m", beat, 2**41)
    rig.core.store.registry.drain("n", True)

    fresh = rig.submit("true")
    worker.advance(fresh)
    worker.runner.keeper.archive_due()

    assert rig.core.hints.sent[-1][1:] == (fresh, "m")  # type: ignore[attr-defined]
    assert sandbox(rig, job).state is SandboxState.ARCHIVED
    other = Worker(rig, node="m", host=fakehost.FakeHost())
    assert ran(rig, other, fresh).state is State.COMPLETED
    assert ran(rig, other, continued(rig, job)).state is State.COMPLETED


def test_what_would_be_far_larger_than_its_disk_is_not_archived_and_keeps_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knify.keeper._OVERHEAD", 0)
    rig.script("bomb", files={"big": b"x" * 5_000_000})
    worker = Worker(rig)
    bomb, neighbour = rig.submit("bomb", disk="1M"), rig.submit("true")
    ran(rig, worker, bomb)
    ran(rig, worker, neighbour)
    configure(rig, archive_hours=1e-9)

    worker.runner.keeper.archive_due()

    assert sandbox(rig, neighbour).state is SandboxState.ARCHIVED
    assert sandbox(rig, bomb).state is SandboxState.PAUSED


def test_an_expired_archive_is_deleted_with_its_object(rig: Rig) -> None:
    worker = Worker(rig)
    job = rig.submit("true")
    ran(rig, worker, job)
    name = sandbox(rig, job).id
    worker.runner.keeper.archive(name)
    assert len(list(rig.core.objects.list("sandboxes"))) == 1
    rig.core.store.client.hset(f"knify:s:{name}", "expires_at", 1)
    rig.core.store.client.zadd("knify:sandboxes:expiry", {name: 1})

    sweep(rig.core)
    eventually(lambda: sweep(rig.core) or not list(rig.core.objects.list("sandboxes")))

    assert sandbox(rig, job).state is SandboxState.DELETED


def test_a_lost_archive_fails_the_turn_in_words_and_keeps_the_record(rig: Rig) -> None:
    worker = Worker(rig)
    job = rig.submit("true")
    ran(rig, worker, job)
    worker.runner.keeper.archive(sandbox(rig, job).id)
    rig.core.objects.delete(sandbox(rig, job).archive or "")

    x = ran(rig, worker, continued(rig, job))

    assert x.state is State.FAILED
    assert sandbox(rig, job).state is SandboxState.ARCHIVED


@pytest.mark.parametrize("n", range(4))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_while_it_stops_a_hot_sandbox_keeps_no_turn_away(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(rig, hot_seconds=60.0)
    victim, heir = Worker(rig), Worker(rig)
    job = rig.submit("true")
    ran(rig, victim, job)
    die(rig, victim, n, when, monkeypatch)

    with contextlib.suppress(Killed):
        victim.runner.keeper.cool(sandbox(rig, job).id)
    monkeypatch.undo()

    assert ran(rig, heir, continued(rig, job)).state is State.COMPLETED


def test_a_turn_waits_while_a_living_worker_stops_its_sandbox(rig: Rig) -> None:
    configure(rig, hot_seconds=60.0)
    worker = Worker(rig)
    job = rig.submit("true")
    ran(rig, worker, job)
    name, alive = sandbox(rig, job).id, str(leases.Owner.this_process("n"))
    rig.core.store.sandboxes.hold(name, node="n", owner=alive, ms=60_000, purpose="stop")

    second = continued(rig, job)
    worker.advance(second)
    assert rig.job(second).state is State.PENDING

    rig.core.store.sandboxes.unhold(name, node="n", owner=alive, done="stopped")
    assert ran(rig, worker, second).state is State.COMPLETED


def test_a_container_that_podman_lost_track_of_is_rebuilt_over_its_files(rig: Rig) -> None:
    working(rig)
    worker = Worker(rig)
    job = rig.submit("work")
    ran(rig, worker, job)
    before = tree(rig, rig.host, job)
    next(iter(rig.host.containers.values())).stuck = True

    second = continued(rig, job)

    assert ran(rig, worker, second).state is State.COMPLETED
    assert "sandbox_rebuilt" in rig.stages(second)
    assert tree(rig, rig.host, job) == before


def test_a_stop_that_podman_does_not_answer_kills_no_living_worker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(rig, hot=4, hot_seconds=600.0)
    slow, other = Worker(rig), Worker(rig)
    job = rig.submit("true")
    ran(rig, slow, job)
    name = sandbox(rig, job).id
    rig.host.down = True
    with pytest.raises(errors.SandboxTimeout):
        slow.runner.keeper.cool(name)
    rig.host.down = False
    killed: list[str] = []
    monkeypatch.setattr(leases.Owner, "kill", lambda self, here: killed.append(str(self)))
    monkeypatch.setattr(leases.Owner, "is_dead", lambda self, here: False)

    assert not other.runner.keeper.cool(name)
    rig.core.store.client.hset(f"{keys.node('n')}:hold:{name}", "until", 1)
    assert other.runner.keeper.cool(name)

    assert killed == []
    assert rig.core.store.sandboxes.hot("n") == []
