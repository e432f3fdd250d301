"""Tasks that wait for their children, on a scripted node."""

from __future__ import annotations

from typing import Any

import pytest

from knify import manifest, model
from knify.lifecycle import SandboxState, State
from knify.services import families, jobs, tasks
from tests.runner.rig import OUT, Rig, Worker, die, eventually


def submit(rig: Rig, name: str, *argv: str, parent: str | None = None, **fields: Any) -> str:
    """The execution of a task called `name`."""
    metadata = {"name": name, "id": name} | ({"parent_id": parent} if parent else {})
    written = {
        "version": "1",
        "kind": "Task",
        "metadata": metadata,
        "agent": {"type": "command", "command": list(argv)},
        "lifecycle": {"failure_action": "preserve"},
    }
    return tasks.submit(rig.core, "default", manifest.read(written | fields), new=f"task_{name}").id


WAITING = {"children": {"wait_for_children": True, "aggregate_artifacts": True}}


def parked(rig: Rig, task: str) -> model.Execution:
    return eventually(lambda: x if (x := rig.job(task)).parked_at and not x.owner else None)


def test_a_task_ends_behind_its_last_child_and_shows_their_files(rig: Rig) -> None:
    rig.script("parent", files={"own.txt": b"own"})
    rig.script("child", files={"out/a.txt": b"a"})
    rig.script("last", files={"b.txt": b"b"})
    worker = Worker(rig)
    parent = submit(rig, "parent", "parent", **WAITING)
    one, two = (submit(rig, n, n, parent="parent") for n in ("child", "last"))

    worker.advance(parent)
    x = parked(rig, parent)
    sandbox = rig.core.store.sandboxes.find(x.sandbox_id or "")
    worker.advance(one)
    rig.ended(one)
    worker.advance(parent)  # a hint too many
    assert (rig.job(parent).state, rig.job(parent).owner) == (State.COMPLETING, None)
    worker.advance(two)
    rig.ended(two)
    worker.advance(parent)

    assert sandbox and sandbox.state is SandboxState.PAUSED
    assert rig.ended(parent).state is State.COMPLETED
    for once in ("children_awaited", "sandbox_paused"):
        assert rig.stages(parent).count(once) == 1
    files = families.files(rig.core, rig.job(parent))
    assert [a.path for a in files] == [
        "own.txt", "children/child/out/a.txt", "children/last/b.txt"
    ]  # fmt: skip
    (found,) = families.file(rig.core, rig.job(parent), "children/child/out/a.txt")
    assert found.sha256 == files[1].sha256
    assert families.file(rig.core, rig.job(parent), "children/other/a.txt") == []
    assert families.counts(rig.core, rig.job(parent)) == {"completed": 2}


def test_a_parked_task_whose_child_fails_has_still_completed(rig: Rig) -> None:
    rig.script("parent")
    rig.script("child", exit_code=3)
    worker = Worker(rig)
    parent = submit(rig, "parent", "parent", **WAITING)
    child = submit(rig, "child", "child", parent="parent")

    worker.advance(parent)
    parked(rig, parent)
    worker.advance(child)
    rig.ended(child)
    worker.advance(parent)

    assert rig.ended(parent).state is State.COMPLETED
    assert families.counts(rig.core, rig.job(parent)) == {"failed_preserved": 1}


def test_a_cancelled_parent_cancels_its_children_and_theirs(rig: Rig) -> None:
    rig.script("parent")
    rig.script("busy", steps=[(0, OUT, b"begun\n"), (60, OUT, b"never\n")])
    worker = Worker(rig)
    parent = submit(rig, "parent", "parent", **WAITING)
    child = submit(rig, "busy", "busy", parent="parent")
    grandchild = submit(rig, "waits", "busy", parent="busy")
    worker.advance(parent)
    parked(rig, parent)
    worker.advance(child)
    eventually(lambda: rig.lines(child))

    jobs.cancel(rig.core, "default", parent, "enough")
    worker.watcher.cancel(child)  # as the node hears it
    worker.advance(parent)

    assert rig.ended(grandchild).cancel_reason == "its parent task was cancelled"
    assert rig.ended(child).state is State.CANCELLED
    assert (rig.ended(parent).state, rig.job(parent).error) == (State.CANCELLED, "enough")
    assert rig.core.store.families.disbanding(10) == []


def test_who_dies_while_children_are_cancelled_is_replaced_by_the_sweep(rig: Rig) -> None:
    parent = submit(rig, "parent", "parent")
    child = submit(rig, "child", "child", parent="parent")
    rig.core.store.executions.cancel(parent, "enough", {"t": 1, "e": []})  # and no more
    assert rig.job(child).state is State.PENDING

    jobs.disband(rig.core)

    assert rig.job(child).state is State.CANCELLED


@pytest.mark.sampled(3)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(0, 14, 2))
def test_dying_at_any_call_of_a_parking_costs_time_only(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.script("parent", files={"own.txt": b"own"}, steps=[(0.2, OUT, b"done\n")])
    rig.script("child")
    victim = Worker(rig)
    parent = submit(rig, "parent", "parent", **WAITING)
    child = submit(rig, "child", "child", parent="parent")
    victim.advance(parent)

    with monkeypatch.context() as patch:
        die(rig, victim, n, when, patch)
        eventually(lambda: victim.died.is_set() or rig.job(parent).parked_at)
    victim.vanish()
    Worker(rig).advance(parent)
    parked(rig, parent)
    heir = Worker(rig)
    heir.advance(child)
    rig.ended(child)
    heir.advance(parent)

    assert rig.ended(parent).state is State.COMPLETED
    assert rig.starts(parent) == 1


@pytest.mark.parametrize("n", range(6))
def test_dying_at_any_call_behind_the_last_child_costs_time_only(
    rig: Rig, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.script("parent")
    rig.script("child")
    victim = Worker(rig)
    parent = submit(rig, "parent", "parent", **WAITING)
    child = submit(rig, "child", "child", parent="parent")
    victim.advance(parent)
    parked(rig, parent)
    victim.advance(child)
    rig.ended(child)

    with monkeypatch.context() as patch:
        die(rig, victim, n, "before", patch)
        victim.advance(parent)
    victim.vanish()
    Worker(rig).advance(parent)

    assert rig.ended(parent).state is State.COMPLETED
