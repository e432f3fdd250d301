"""Ends that the job did not choose: lost nodes, restarted machines, deadlines, failure actions."""

from __future__ import annotations

from typing import Any

import pytest

from knify import sweep
from knify.lifecycle import SandboxState, State
from knify.services import jobs
from knify.store import keys
from tests import factories
from tests.runner.rig import OUT, Rig, Worker, eventually

DAY = 24 * 3_600_000
MINUTES = 60_000


def started(rig: Rig, **spec: Any) -> tuple[str, Worker]:
    """A job that runs for ever, and its worker."""
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job, worker = rig.submit("wait", **spec), Worker(rig)
    worker.advance(job)
    eventually(lambda: rig.lines(job))
    return job, worker


def silence(rig: Rig, minutes: float, *, watched: float, other: bool = True) -> None:
    """The node `n` said nothing for so long, and sweepers saw Redis for `watched` minutes."""
    registry, client = rig.core.store.registry, rig.core.store.client
    now = registry.now_ms()
    registry.heartbeat("n", {}, now - int(minutes * MINUTES))
    client.delete(f"{keys.node('n')}:beat")
    if other:
        registry.heartbeat("other", {})
    client.hset(keys.WATCH, mapping={"since": now - int(watched * MINUTES), "last": now})


def age(rig: Rig, job: str, minutes: float = 10) -> None:
    """Nothing has happened to the job for so long, and nobody holds it."""
    client = rig.core.store.client
    then = rig.core.store.registry.now_ms() - int(minutes * MINUTES)
    client.hset(keys.execution(job), mapping={"state_changed_at": then, "created_at": then})
    if client.hexists(keys.execution(job), "owner"):
        client.hset(keys.execution(job), "lease_until", then)
    client.zadd(keys.DUE, {job: then})


def test_jobs_of_a_node_that_is_silent_for_too_long_end_as_host_lost(rig: Rig) -> None:
    job, worker = started(rig)
    worker.vanish()
    request = {"job_type": "command_task", "command": ["true"]}
    turn = jobs.continue_(rig.core, "default", job, jobs.Submission(request)).execution.id
    for one in (job, turn):
        age(rig, one)
    silence(rig, 6, watched=6)

    sweep.sweep(rig.core)

    for one in (job, turn):
        x = rig.job(one)
        assert (x.state, x.error) == (State.FAILED, "node n has not been heard of for 5 minutes")
        assert x.outcome is not None
        assert x.outcome.kind == "host_lost"
        last = list(rig.core.store.streams.output(one))[-1].events[-1]
        assert (last["type"], last["status"]) == ("completed", "failed")
    assert rig.core.store.executions.active("n") == []
    assert rig.core.store.executions.due(again_ms=1) == []
    sandbox = rig.core.store.sandboxes.find(rig.job(job).sandbox_id or "")
    assert sandbox is not None
    assert (sandbox.state, sandbox.node) == (SandboxState.PAUSED, "n")


@pytest.mark.parametrize(
    ("silent", "watched", "other", "aged"),
    [
        (4, 10, True, 10),  # not yet
        (10, 4, True, 10),  # Redis itself was away until lately
        (10, 10, False, 10),  # nobody lives: the whole cluster was off
        (10, 10, True, 1),  # it has been waiting for a moment only
    ],
)
def test_a_node_is_not_given_up_early(
    rig: Rig, silent: float, watched: float, other: bool, aged: float
) -> None:
    job, worker = started(rig)
    worker.vanish()
    age(rig, job, aged)
    silence(rig, silent, watched=watched, other=other)

    sweep.sweep(rig.core)

    assert rig.job(job).state is State.RUNNING


def test_a_job_whose_worker_renews_its_lease_is_not_lost(rig: Rig) -> None:
    job, worker = started(rig)
    age(rig, job)
    worker.leases.renew()
    rig.core.store.client.zadd(keys.DUE, {job: 1})
    silence(rig, 10, watched=10)

    sweep.sweep(rig.core)

    assert rig.job(job).state is State.RUNNING


def test_a_pause_in_the_sweepers_watch_begins_it_anew(rig: Rig) -> None:
    registry, client = rig.core.store.registry, rig.core.store.client
    now = registry.now_ms()
    for last in (now - 2 * MINUTES, now + 60 * MINUTES):  # Redis was away; the clock was put back
        client.hset(keys.WATCH, mapping={"since": now - 9 * MINUTES, "last": last})

        assert registry.watch(30_000, DAY)[0] < MINUTES

    assert registry.watch(30_000, DAY)[0] < MINUTES


def test_a_node_that_returns_finds_its_jobs_ended_and_its_sandboxes_usable(rig: Rig) -> None:
    job, worker = started(rig)
    age(rig, job)
    silence(rig, 6, watched=6)
    sweep.sweep(rig.core)

    lost, *_ = worker.leases.renew()
    for one in lost:
        worker.watcher.abandon(one)
    request = {"job_type": "command_task", "command": ["true"]}
    turn = jobs.continue_(rig.core, "default", job, jobs.Submission(request)).execution.id
    worker.advance(turn)

    assert lost == [job]
    assert rig.ended(turn).state is State.COMPLETED
    assert rig.states(job).count("failed") == 1


def test_a_machine_that_was_restarted_under_a_job_is_named(rig: Rig) -> None:
    job, worker = started(rig)
    worker.vanish()
    rig.core.store.client.hset(keys.execution(job), "boot", "another-boot")
    rig.loop.loop.call_soon_threadsafe(next(iter(rig.host.containers.values())).halt)
    eventually(lambda: not next(iter(rig.host.containers.values())).running)

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.outcome is not None
    assert (x.outcome.kind, x.error) == ("host_lost", "the machine was restarted")
    sandbox = rig.core.store.sandboxes.find(x.sandbox_id or "")
    assert sandbox is not None
    assert sandbox.state is SandboxState.PAUSED  # its files are there


def test_a_job_that_ended_before_the_machine_was_restarted_has_its_own_end(rig: Rig) -> None:
    rig.script("work", steps=[(0.1, OUT, b"one\n")], exit_code=4)
    job, worker = rig.submit("work"), Worker(rig)
    worker.advance(job)
    worker.vanish()
    box = next(iter(rig.host.containers.values()))
    eventually(lambda: box.turns and box.turns[0].end)
    rig.loop.loop.call_soon_threadsafe(box.halt)
    rig.core.store.client.hset(keys.execution(job), "boot", "another-boot")

    Worker(rig).advance(job)

    assert rig.ended(job).error == "exited with code 4"


def test_a_command_killed_by_its_memory_limit_is_told_from_one_that_was_killed(rig: Rig) -> None:
    rig.script("eat", steps=[(0.05, OUT, b"x\n")], exit_code=137)
    starved, killed = rig.submit("eat"), rig.submit("eat")
    worker = Worker(rig)
    worker.advance(starved)
    next(iter(rig.host.containers.values())).oom_kills = 1
    worker.advance(killed)

    kinds = [x.outcome.kind for x in map(rig.ended, (starved, killed)) if x.outcome]
    assert kinds == ["oom_killed", "exited"]


@pytest.mark.parametrize(
    ("limits", "kind"), [({"timeout": 0.05}, "timeout"), ({"hang_timeout": 0.05}, "hang")]
)
def test_a_job_that_has_had_its_time_says_which(
    rig: Rig, limits: dict[str, float], kind: str
) -> None:
    job, _ = started(rig, **limits)

    x = rig.ended(job)
    assert x.outcome is not None
    assert x.outcome.kind == kind


def waits_in(rig: Rig, state: State, **spec: Any) -> str:
    """A job that its host keeps in this state."""
    x = factories.execution(
        sandbox_id=(sandbox := factories.sandbox(image="fake")).id, spec=factories.spec(**spec)
    )
    rig.core.store.executions.submit(x, sandbox)
    worker = Worker(rig)

    def broken(turn: object) -> None:
        rig.host.down = True
        steps[state] = kept
        return kept(turn)  # type: ignore[arg-type,return-value]

    steps = worker.runner._steps.table
    kept, steps[state] = steps[state], broken
    worker.advance(x.id)
    rig.host.down = False
    assert rig.job(x.id).state is state
    return x.id


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.STAGING, "could not be staged within 900 s"),
        (State.PROVISIONING, "could not be provisioned within 600 s"),
    ],
)
def test_a_job_that_cannot_be_prepared_in_time_fails_and_says_so(
    rig: Rig, state: State, reason: str
) -> None:
    job = waits_in(rig, state)
    age(rig, job, 16)
    silence(rig, 0, watched=16)

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, reason)
    assert rig.starts(job) == 0


def test_time_in_which_no_worker_lived_does_not_count(rig: Rig) -> None:
    job = waits_in(rig, State.PROVISIONING)
    age(rig, job, 60)
    silence(rig, 0, watched=1)

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED


@pytest.mark.parametrize(
    ("action", "state", "sandbox"),
    [
        ("keep", State.FAILED, SandboxState.PAUSED),
        ("preserve", State.FAILED_PRESERVED, SandboxState.PAUSED),
        ("destroy", State.FAILED, SandboxState.DELETED),
    ],
)
def test_a_failed_jobs_sandbox_is_kept_preserved_or_destroyed(
    rig: Rig, action: str, state: State, sandbox: SandboxState
) -> None:
    made = factories.sandbox(image="fake")
    x = factories.execution(
        sandbox_id=made.id, spec=factories.spec(command=("fails",), failure_action=action)
    )
    rig.core.store.executions.submit(x, made)

    Worker(rig).advance(x.id)

    assert rig.ended(x.id).state is state
    found = rig.core.store.sandboxes.find(made.id)
    assert found is not None
    assert found.state is sandbox
    assert rig.core.store.sandboxes.removals("n") == ([made.id] if action == "destroy" else [])


def test_a_job_that_ends_well_keeps_its_sandbox_whatever_was_said_of_failures(rig: Rig) -> None:
    made = factories.sandbox(image="fake")
    x = factories.execution(sandbox_id=made.id, spec=factories.spec(failure_action="destroy"))
    rig.core.store.executions.submit(x, made)

    Worker(rig).advance(x.id)

    assert rig.ended(x.id).state is State.COMPLETED
    found = rig.core.store.sandboxes.find(made.id)
    assert found is not None
    assert found.state is SandboxState.PAUSED
