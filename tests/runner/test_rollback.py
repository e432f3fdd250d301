"""Redis is put back to an older state under a worker: nothing runs twice, results are true."""

from __future__ import annotations

import pytest

from knify import epoch, model, repair
from knify.lifecycle import SandboxState, State
from knify.services import artifacts, jobs
from knify.store import keys
from knify.turn import Ending, Turn
from tests.parts.rollback import Snapshot
from tests.runner.rig import ERR, OUT, Rig, Worker, eventually
from tests.runner.test_runner import _assert_legal


class Past:
    """A moment of Redis to go back to."""

    def __init__(self, rig: Rig, redis_url: str) -> None:
        self._rig = rig
        rig.core.settings.home.mkdir(exist_ok=True)
        self._epoch = epoch.Epoch(rig.core.store.registry, rig.core.settings)
        self._epoch.look()
        self._snapshot = Snapshot(redis_url)
        self._epoch.look()

    def comes_back(self) -> Worker:
        """Redis forgets; the worker of that time dies, another one starts and says what is here."""
        self._snapshot.put_back()
        assert self._epoch.look()
        worker = Worker(self._rig)
        mend = repair.Repair(self._rig.core, "n", 24)
        mend.adopt(self._rig.loop.call(worker.driver.owned(), 5))
        self._rig.core.store.client.set(keys.ROLLED_AT, 1)
        return worker


def rolled(rig: Rig, job: str) -> bool:
    return "store_rolled_back" in rig.stages(job)


def until(rig: Rig, job: str, state: State, redis_url: str) -> Past:
    """Take a job to a state and keep that moment; the worker dies."""
    worker = Worker(rig)
    steps = worker.runner._steps.table
    met: list[Past] = []
    step = steps[state]

    def watched(turn: Turn) -> Ending | None:
        met.append(Past(rig, redis_url))
        return step(turn)

    steps[state] = watched
    worker.advance(job)
    eventually(lambda: met)
    return met[0]


@pytest.mark.parametrize(
    "state", [State.PENDING, State.STAGING, State.PROVISIONING, State.READY, State.COMPLETING]
)
@pytest.mark.parametrize("paused", [False, True])
def test_a_job_whose_end_redis_forgot_ends_with_its_true_result(
    rig: Rig, redis_url: str, state: State, paused: bool
) -> None:
    rig.script(
        "work", steps=[(0, OUT, b"one\ntwo\n"), (0, ERR, b"x\n")], files={"f": b"f"}, exit_code=3
    )
    if paused:  # a second turn: the sandbox is paused when it begins
        rig.script("first", files={"old": b"old"})
        first = rig.submit("first")
        Worker(rig).advance(first)
        rig.ended(first)
        request = {"job_type": "command_task", "command": ["work"]}
        job = jobs.continue_(rig.core, "default", first, jobs.Submission(request)).execution.id
    else:
        job = rig.submit("work")
    past = until(rig, job, state, redis_url)
    rig.ended(job)

    past.comes_back().advance(job)

    x = rig.ended(job)
    assert (x.state, x.exit_code, x.error) == (State.FAILED, 3, "exited with code 3")
    assert rig.starts(job) == 1
    assert sorted(rig.lines(job)) == ["one", "two", "x"]
    assert [a.path for a in artifacts.listing(rig.core, job)] == ["f"]
    _assert_legal(rig.states(job))
    assert rolled(rig, job)
    sandbox = rig.core.store.sandboxes.find(x.sandbox_id or "")
    assert sandbox is not None
    assert sandbox.state is SandboxState.PAUSED


@pytest.mark.parametrize("state", [State.PENDING, State.PROVISIONING, State.READY, State.RUNNING])
def test_a_running_job_is_followed_on_with_all_its_output(
    rig: Rig, redis_url: str, state: State
) -> None:
    steps = [(0, OUT, b"early\n")] + [(0.05, OUT, b"%d\n" % n) for n in range(8)]
    rig.script("work", steps=steps)
    job = rig.submit("work")
    past = until(rig, job, state if state is not State.RUNNING else State.READY, redis_url)
    eventually(lambda: rig.lines(job))
    if state is State.RUNNING:
        past = Past(rig, redis_url)

    past.comes_back().advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert rig.starts(job) == 1
    assert rig.lines(job) == ["early", *map(str, range(8))]
    assert rolled(rig, job)


def test_a_worker_that_lives_on_lets_its_job_go_and_claims_it_anew(
    rig: Rig, redis_url: str
) -> None:
    rig.script("work", steps=[(0.02, OUT, b"%d\n" % n) for n in range(20)])
    job, worker = rig.submit("work"), Worker(rig)
    steps = worker.runner._steps.table
    launch, met = steps[State.READY], []

    def watched(turn: Turn) -> Ending | None:
        met.append(Past(rig, redis_url))
        return launch(turn)

    steps[State.READY] = watched
    worker.advance(job)
    eventually(lambda: len(rig.lines(job)) > 3)

    met[0].comes_back()
    rig.loop.call(worker.watcher.stop(), 5)
    steps[State.READY] = launch
    eventually(lambda: not worker.leases.held())
    worker.advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert rig.lines(job) == [str(n) for n in range(20)]
    assert rig.starts(job) == 1


def test_a_job_whose_output_a_later_turn_replaced_ends_with_its_stored_result(
    rig: Rig, redis_url: str
) -> None:
    rig.script("first", steps=[(0, OUT, b"one\n")], files={"a": b"a"}, exit_code=5)
    rig.script("second", steps=[(0, OUT, b"two\n")], files={"b": b"b"})
    first = rig.submit("first")
    past = until(rig, first, State.STAGING, redis_url)
    rig.ended(first)
    request = {"job_type": "command_task", "command": ["second"]}
    second = jobs.continue_(rig.core, "default", first, jobs.Submission(request)).execution.id
    Worker(rig).advance(second)
    rig.ended(second)

    past.comes_back().advance(first)

    x = rig.ended(first)
    assert (x.state, x.exit_code) == (State.FAILED, 5)
    assert rig.starts(first) == 1
    assert "output_lost" in rig.stages(first)
    assert [a.path for a in artifacts.listing(rig.core, first)] == ["a"]


def test_a_job_whose_end_nothing_tells_says_that_redis_was_put_back(
    rig: Rig, redis_url: str
) -> None:
    rig.script("first", steps=[(0, OUT, b"one\n")])
    job = rig.submit("first")
    past = until(rig, job, State.STAGING, redis_url)
    rig.ended(job)
    rig.core.objects.delete(f"{artifacts.folder(job)}/artifacts.json")
    for box in rig.host.containers.values():
        box.turns = []

    past.comes_back().advance(job)

    x = rig.ended(job)
    assert x.outcome is not None
    assert x.outcome.kind == "monitor_lost"
    assert "Redis was put back" in (x.error or "")
    assert rig.starts(job) == 1


def test_a_later_turn_that_redis_forgot_is_not_taken_for_the_one_it_remembers(
    rig: Rig, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knify.recovery._START_SECONDS", 0.1)
    rig.script("first", steps=[(0, OUT, b"one\n")])
    rig.script("second", steps=[(0, OUT, b"stranger\n")], hangs=True)
    first = rig.submit("first")
    past = until(rig, first, State.READY, redis_url)
    rig.ended(first)
    request = {"job_type": "command_task", "command": ["second"]}
    second = jobs.continue_(rig.core, "default", first, jobs.Submission(request)).execution.id
    victim = Worker(rig)
    victim.advance(second)
    eventually(lambda: rig.lines(second))
    victim.vanish()

    past.comes_back().advance(first)

    assert rig.ended(first).state is State.COMPLETED  # from the stored result
    assert rig.lines(first) == []
    assert not any(box.running for box in rig.host.containers.values())


def test_a_job_whose_sandbox_is_gone_since_then_is_not_run_again(rig: Rig, redis_url: str) -> None:
    rig.script("work", files={"f": b"f"})
    job = rig.submit("work")
    past = until(rig, job, State.PENDING, redis_url)
    rig.ended(job)
    rig.host.containers.clear()

    past.comes_back().advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert rig.host.containers == {}
    assert [a.path for a in artifacts.listing(rig.core, job)] == ["f"]


def test_the_secret_of_a_start_follows_from_the_job_and_the_master_key(rig: Rig) -> None:
    one, other = rig.core.start_nonce("job_1"), rig.core.start_nonce("job_2")

    assert one == rig.core.start_nonce("job_1") != other
    assert len(bytes.fromhex(one)) == 16


def test_a_manifest_of_the_first_form_is_still_read(rig: Rig) -> None:
    rig.core.objects.put(f"{artifacts.folder('job_1')}/artifacts.json", [b"[]"])

    assert artifacts.listing(rig.core, "job_1") == []
    assert artifacts.result(rig.core.objects, "job_1") is None
    artifacts.save_manifest(rig.core.objects, "job_1", [], model.Outcome("exited", 0))
    kept = artifacts.result(rig.core.objects, "job_1")
    assert kept is not None
    assert kept.outcome.succeeded


@pytest.mark.parametrize("begun", [False, True])
def test_a_turn_finds_the_archive_that_its_sandbox_became_behind_the_back_of_redis(
    rig: Rig, redis_url: str, begun: bool
) -> None:
    rig.script("work", files={"f": b"f"})
    job = rig.submit("work")
    worker = Worker(rig)
    worker.advance(job)
    sandbox_id = rig.ended(job).sandbox_id or ""
    keeper = worker.runner.keeper
    past = Past(rig, redis_url)
    if begun:
        begin = keeper._begin

        def watched(name: str) -> tuple[str, str]:
            nonlocal past
            answer = begin(name)
            past = Past(rig, redis_url)
            return answer

        keeper._begin = watched  # type: ignore[method-assign]
    assert keeper.archive(sandbox_id)
    assert rig.host.volumes == {}

    heir = past.comes_back()
    rig.core.store.client.set(keys.ROLLED_AT, rig.core.store.registry.now_ms())
    request = {"job_type": "command_task", "command": ["true"]}
    second = jobs.continue_(rig.core, "default", job, jobs.Submission(request)).execution.id
    heir.advance(second)

    assert rig.ended(second).state is State.COMPLETED
    assert "sandbox_restored" in rig.stages(second)
    root = rig.host.volumes[sandbox_id]["workspace"]
    assert (root / "f").read_bytes() == b"f"
    assert rig.core.store.sandboxes.removals("n") == []


def test_a_turn_whose_end_redis_forgot_leaves_the_archive_that_came_after_it(
    rig: Rig, redis_url: str
) -> None:
    rig.script("work", files={"f": b"f"})
    job = rig.submit("work")
    past = until(rig, job, State.COMPLETING, redis_url)
    sandbox_id = rig.ended(job).sandbox_id or ""
    assert Worker(rig).runner.keeper.archive(sandbox_id)

    heir = past.comes_back()
    rig.core.store.client.set(keys.ROLLED_AT, rig.core.store.registry.now_ms())
    heir.advance(job)

    assert rig.ended(job).state is State.COMPLETED
    found = rig.core.store.sandboxes.find(sandbox_id)
    assert found is not None
    assert found.state is SandboxState.ARCHIVED


@pytest.mark.parametrize("stored", [False, True])
def test_a_first_claim_of_a_further_turn_that_ran_before_ends_with_what_is_known(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """Redis went back and nobody has noticed yet, so the fence is the first one."""
    monkeypatch.setattr("knify.recovery._START_SECONDS", 0.1)
    job = rig.submit("true")
    Worker(rig).advance(job)
    rig.ended(job)
    request = {"job_type": "command_task", "command": ["true"]}
    second = jobs.continue_(rig.core, "default", job, jobs.Submission(request)).execution.id
    for box in rig.host.containers.values():
        box.started.append(second)
    if stored:
        artifacts.save_manifest(rig.core.objects, second, [], model.Outcome("exited", 0))

    Worker(rig).advance(second)

    x = rig.ended(second)
    assert x.state is (State.COMPLETED if stored else State.FAILED)
    assert rig.starts(second) == 1
    assert stored or "Redis was put back" in (x.error or "")


@pytest.mark.parametrize("again", [False, True])
def test_what_was_restored_since_then_keeps_its_newer_files(
    rig: Rig, redis_url: str, again: bool
) -> None:
    """Whether they lie on the node or in a newer archive, which replaced the known one."""
    rig.script("work", files={"f": b"old"})
    rig.script("change", files={"f": b"new"})
    worker = Worker(rig)

    def ran(command: str, before: str) -> str:
        request = {"job_type": "command_task", "command": [command]}
        job = jobs.continue_(rig.core, "default", before, jobs.Submission(request)).execution.id
        worker.advance(job)
        assert rig.ended(job).state is State.COMPLETED
        return job

    job = rig.submit("work")
    worker.advance(job)
    sandbox_id = rig.ended(job).sandbox_id or ""
    assert worker.runner.keeper.archive(sandbox_id)
    past = Past(rig, redis_url)
    ran("change", job)
    if again:
        known = [listed.key for listed in rig.core.objects.list("sandboxes")]
        assert worker.runner.keeper.archive(sandbox_id)
        rig.core.objects.delete(known[0])

    worker = past.comes_back()
    rig.core.store.client.set(keys.ROLLED_AT, rig.core.store.registry.now_ms())
    repair.Repair(rig.core, "n", 24).adopt(rig.loop.call(worker.driver.owned(), 5))
    ran("true", job)

    assert (rig.host.volumes[sandbox_id]["workspace"] / "f").read_bytes() == b"new"
