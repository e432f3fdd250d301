"""Steps, ends and failures, on a scripted node."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from knify import errors, lifecycle, model
from knify.lifecycle import SandboxState, State
from knify.sandbox import base, fakechannel
from knify.services import jobs
from knify.turn import Turn
from tests.runner.rig import ERR, OUT, Rig, Worker, die, eventually

PATH = ["pending", "staging", "provisioning", "ready", "running", "completing", "completed"]


def test_a_job_goes_through_every_state_to_its_end(rig: Rig) -> None:
    rig.script("hello", steps=[(0, OUT, b"one\ntwo\n"), (0, ERR, b"three")])
    job = rig.submit("hello")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert rig.states(job) == PATH
    assert sorted(rig.lines(job)) == ["one", "three", "two"]
    last = list(rig.core.store.streams.output(job))[-1].events[-1]
    assert last | {"timestamp": ""} == {
        "type": "completed", "timestamp": "", "status": "completed", "exit_code": 0,
    }  # fmt: skip


def test_the_log_says_who_claimed_a_job_and_who_follows_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.script("hello")
    job = rig.submit("hello")

    with caplog.at_level(logging.INFO, "knify"):
        Worker(rig).advance(job)
        rig.ended(job)

    said = [line for line in caplog.messages if line.startswith(job)]
    assert said[0] == f"{job}, pending, claimed by process {os.getpid()}"
    assert said[1].startswith(f"{job} is followed by process {os.getpid()} of ")


def test_a_job_says_on_which_image_it_ran_and_so_does_the_next_turn(rig: Rig) -> None:
    rig.script("hello")
    worker = Worker(rig)
    first = rig.submit("hello")
    worker.advance(first)
    rig.ended(first)

    request = {"job_type": "command_task", "command": ["hello"]}
    second = jobs.continue_(rig.core, "default", first, jobs.Submission(request)).execution.id
    worker.advance(second)

    assert rig.ended(second).image_digest == "sha256:" + "f" * 64
    assert rig.job(first).image_digest == "sha256:" + "f" * 64


def test_changed_files_become_artifacts_and_untouched_ones_do_not(rig: Rig) -> None:
    rig.script("first", files={"a.txt": b"a", "b.txt": b"b"})
    rig.script("second", files={"c/d.txt": b"cd"})
    first = rig.submit("first")
    worker = Worker(rig)
    worker.advance(first)
    rig.ended(first)

    request = {"job_type": "command_task", "command": ["second"]}
    second = jobs.continue_(rig.core, "default", first, jobs.Submission(request)).execution.id
    worker.advance(second)
    rig.ended(second)

    from knify.services import artifacts

    assert [a.path for a in artifacts.listing(rig.core, first)] == ["a.txt", "b.txt"]
    assert [a.path for a in artifacts.listing(rig.core, second)] == ["c/d.txt"]


def test_patterns_choose_artifacts(rig: Rig) -> None:
    rig.script("make", files={"a.txt": b"a", "d/e/f.log": b"b", "g.log": b""})
    job = rig.submit("make", artifact_patterns=["**/*.log"])

    Worker(rig).advance(job)

    from knify.services import artifacts

    rig.ended(job)
    assert [a.path for a in artifacts.listing(rig.core, job)] == ["d/e/f.log", "g.log"]


def test_a_node_that_lacks_the_image_fails_the_job_in_words(rig: Rig) -> None:
    job = rig.submit("true")
    rig.host.found.clear()

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, "this node has no image fake")
    assert rig.core.store.executions.active("n") == []


def test_a_host_that_fails_is_tried_again_and_in_the_end_given_up(rig: Rig) -> None:
    job = rig.submit("true")
    worker = Worker(rig)
    rig.host.down = True

    for _ in range(5):
        worker.advance(job)

    x = rig.ended(job)
    assert x.state is State.FAILED
    assert rig.starts(job) == 0


def test_a_host_that_comes_back_in_time_costs_nothing_but_time(rig: Rig) -> None:
    job = rig.submit("true")
    worker = Worker(rig)
    rig.host.down = True
    worker.advance(job)
    assert rig.job(job).owner is None

    rig.host.down = False
    worker.advance(job)

    assert rig.ended(job).state is State.COMPLETED


def test_cancelling_before_the_start_runs_nothing(rig: Rig) -> None:
    job = rig.submit("true")
    worker = Worker(rig)
    rig.host.down = True
    worker.advance(job)  # staging, then given back
    rig.host.down = False

    jobs.cancel(rig.core, "default", job, "not needed")
    worker.advance(job)

    assert rig.ended(job).state is State.CANCELLED
    assert rig.starts(job) == 0


def test_cancelling_a_running_command_ends_it(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait")
    worker = Worker(rig)
    worker.advance(job)
    eventually(lambda: rig.lines(job))

    jobs.cancel(rig.core, "default", job, "enough")
    worker.watcher.cancel(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.CANCELLED, "enough")


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_forced_cancellation_leaves_no_time_to_end(rig: Rig, asked_before: bool) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True, stubborn=True)
    job = rig.submit("wait")
    worker = Worker(rig)
    worker.advance(job)
    eventually(lambda: rig.lines(job))
    if asked_before:
        jobs.cancel(rig.core, "default", job, "enough")
        worker.watcher.cancel(job)

    jobs.cancel(rig.core, "default", job, "enough", force=True)
    _, asked, _ = worker.leases.renew()  # as a worker does that missed the message
    for name, force in asked:
        worker.watcher.cancel(name, force=force)

    x = rig.ended(job, seconds=20)  # ten less than it would have had
    assert (x.state, x.error) == (State.CANCELLED, "enough")


@pytest.mark.parametrize(
    ("spec", "state", "error"),
    [
        ({}, State.CANCELLED, "enough"),
        ({"timeout": 1}, State.FAILED, "timed out after 1 s"),
        ({"hang_timeout": 1}, State.FAILED, "printed nothing for 1 s"),
    ],
)
def test_a_command_that_a_dead_worker_had_stopped_ends_for_its_reason(
    rig: Rig, spec: dict[str, Any], state: State, error: str
) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait", **spec)
    first, second = Worker(rig), Worker(rig)
    died = threading.Event()
    first.watcher.conclude = lambda *_: died.set()
    first.advance(job)
    eventually(lambda: rig.lines(job))
    if not spec:
        jobs.cancel(rig.core, "default", job, "enough")
        first.watcher.cancel(job)
    assert died.wait(20)

    second.advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (state, error)


def test_a_command_whose_stop_was_noted_and_never_sent_is_stopped(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait")
    first, second = Worker(rig), Worker(rig)
    first.advance(job)
    eventually(lambda: rig.lines(job))
    jobs.cancel(rig.core, "default", job, "enough")
    noted = model.Outcome("cancelled", error="cancelled by request")
    rig.core.store.executions.note(rig.job(job), "", "", stopping=noted)

    second.advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.CANCELLED, "enough")


def test_a_flood_that_a_dead_worker_had_noticed_is_ended_without_reading_it(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait")
    first, second = Worker(rig), Worker(rig)
    first.advance(job)
    eventually(lambda: rig.lines(job))
    flood = model.Outcome("flood", error="printed more than 4 MiB")
    rig.core.store.executions.note(rig.job(job), "", "", stopping=flood)

    second.advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, "printed more than 4 MiB")
    assert "reattach" not in rig.host.calls
    assert not next(iter(rig.host.containers.values())).running


def test_a_command_that_ends_at_once_is_finished_by_one_thread_only(rig: Rig) -> None:
    rig.script("quick")
    job = rig.submit("quick")
    worker = Worker(rig)
    steps = worker.runner._steps
    follow, finish = steps._follow, steps.begin_completing
    concluding, advanced = threading.Event(), threading.Event()

    def late(*arguments: Any) -> None:
        concluding.set()
        advanced.wait(10)
        finish(*arguments)

    def until_it_ends(turn: Turn) -> None:
        follow(turn)
        concluding.wait(10)

    steps.begin_completing, steps._follow = late, until_it_ends  # type: ignore[method-assign]
    worker.advance(job)
    advanced.set()

    assert rig.ended(job).state is State.COMPLETED
    assert "reattach" not in rig.host.calls


def test_a_lost_lease_stops_following_and_touches_nothing(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait")
    first, second = Worker(rig), Worker(rig)
    first.advance(job)
    eventually(lambda: rig.lines(job))

    second.advance(job)  # the first one's process does not exist, so its lease counts for nothing
    lost, *_ = first.leases.renew()

    assert lost == [job]
    assert first.leases.held() == []
    jobs.cancel(rig.core, "default", job, "enough")
    second.watcher.cancel(job)
    assert rig.ended(job).state is State.CANCELLED
    assert rig.starts(job) == 1
    assert rig.lines(job) == ["here"]


def test_a_sandbox_that_died_ends_the_job_with_a_reason(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait")
    Worker(rig).advance(job)
    eventually(lambda: rig.lines(job))

    rig.loop.loop.call_soon_threadsafe(next(iter(rig.host.containers.values())).halt)

    x = rig.ended(job)
    assert x.state is State.FAILED
    assert x.outcome is not None
    assert x.outcome.kind == "monitor_lost"


def test_a_sandbox_that_is_gone_loses_the_job_and_is_marked_lost(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("wait")
    first = Worker(rig)
    first.advance(job)
    eventually(lambda: rig.lines(job))
    first.vanish()
    rig.host.containers.clear()
    rig.host.volumes.clear()

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.outcome is not None
    assert x.outcome.kind == "host_lost"
    sandbox = rig.core.store.sandboxes.find(x.sandbox_id or "")
    assert sandbox is not None
    assert sandbox.state is SandboxState.LOST


def test_a_job_whose_container_is_gone_is_lost_but_not_its_sandbox(rig: Rig) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True, files={"f": b"f"})
    job = rig.submit("wait")
    first = Worker(rig)
    first.advance(job)
    eventually(lambda: rig.lines(job))
    first.vanish()
    rig.host.containers.clear()

    worker = Worker(rig)
    worker.advance(job)
    x = rig.ended(job)
    request = {"job_type": "command_task", "command": ["true"]}
    second = jobs.continue_(rig.core, "default", job, jobs.Submission(request)).execution.id
    worker.advance(second)

    assert x.outcome is not None
    assert x.outcome.kind == "host_lost"
    assert rig.ended(second).state is State.COMPLETED
    assert "sandbox_rebuilt" in rig.stages(second)
    box = next(iter(rig.host.containers.values()))
    assert (box.root / "f").read_bytes() == b"f"


def test_more_output_than_is_kept_is_said_and_dropped(rig: Rig) -> None:
    object.__setattr__(rig.core.settings, "output_bytes", 1000)
    rig.script("flood", steps=[(0, OUT, b"x" * 99 + b"\n")] * 19)
    job = rig.submit("flood")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert len(rig.lines(job)) <= 11
    assert "output_truncated" in rig.stages(job)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("n", range(40))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_any_call_to_the_driver_or_the_store_loses_and_doubles_nothing(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.script("work", steps=[(0, OUT, b"one\n"), (0, ERR, b"two\n")], files={"f": b"f"})
    job = rig.submit("work")
    victim = Worker(rig)
    die(rig, victim, n, when, monkeypatch)

    victim.advance(job)
    eventually(lambda: victim.died.is_set() or rig.job(job).state in lifecycle.TERMINAL)
    monkeypatch.undo()
    victim.vanish()
    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.state is State.COMPLETED
    assert rig.starts(job) == 1
    assert sorted(rig.lines(job)) == ["one", "two"]
    _assert_legal(rig.states(job))
    assert rig.core.store.executions.active("n") == []
    assert rig.core.store.executions.due(again_ms=1) == []


def _assert_legal(states: list[str]) -> None:
    for here, there in itertools.pairwise(states):
        lifecycle.check(State(here), State(there))


def test_a_command_that_cannot_be_started_fails_soon_and_holds_no_slot(rig: Rig) -> None:
    job = rig.submit("true")
    worker = Worker(rig)
    call = worker.call

    def refusing(coroutine: Any, seconds: float) -> Any:
        if coroutine.__name__ == "run":
            coroutine.close()
            raise errors.SandboxError("the sandbox could not note the start")
        return call(coroutine, seconds)

    worker.call = refusing  # type: ignore[method-assign]
    for _ in range(5):
        worker.advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, "the sandbox could not note the start")
    assert rig.core.store.executions.active("n") == []


def test_what_a_flood_left_behind_its_limit_is_not_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(rig.core.settings, "output_bytes", 1000)
    rig.script("flood", steps=[(0, OUT, b"y\n")], hangs=True)
    job = rig.submit("flood")

    async def endless(_: fakechannel.FakeChannel) -> AsyncIterator[tuple[base.Stream, bytes]]:
        while True:  # as the log of a job that printed for long while nobody followed it
            yield OUT, b"y\n" * 1000
            await asyncio.sleep(0.01)

    monkeypatch.setattr(fakechannel.FakeChannel, "frames", endless)

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.outcome is not None
    assert x.outcome.kind == "flood"
    assert not next(iter(rig.host.containers.values())).running


def test_a_flood_is_counted_and_stopped(rig: Rig) -> None:
    object.__setattr__(rig.core.settings, "output_bytes", 1000)
    rig.script("flood", steps=[(0, OUT, b"y\n" * 1000)] * 20, hangs=True)
    job = rig.submit("flood")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.outcome is not None
    assert x.outcome.kind == "flood"
    assert x.out_bytes == 40_000
    assert len(rig.lines(job)) <= 1000
