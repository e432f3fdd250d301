"""Output that is longer than the part of it that Redis holds."""

from __future__ import annotations

from typing import Any

import pytest

from knify import errors, lifecycle
from knify.lifecycle import State
from knify.services import history
from knify.store import executionkeys
from tests.runner.rig import OUT, Rig, Worker, die, eventually

LINES = [f"line {n}" for n in range(400)]
TAIL = 4096


@pytest.fixture
def long(rig: Rig) -> str:
    """A job that prints LINES."""
    object.__setattr__(rig.core.settings, "output_tail_bytes", TAIL)
    text = "".join(f"{line}\n" for line in LINES).encode()
    pieces = [text[i : i + 100] for i in range(0, len(text), 100)]
    rig.script("long", steps=[(0.001, OUT, piece) for piece in pieces])
    return rig.submit("long")


def read(rig: Rig, job: str, after: int = 0, most: int | None = None) -> list[str]:
    return [
        entry.line
        for entry in history.output(rig.core, job, after=after, most=most)
        if entry.line is not None
    ]


def held(rig: Rig, job: str) -> int:
    rows = rig.core.store.client.xrange(executionkeys.output(job))
    return sum(len(fields["d"]) for _, fields in rows)


def test_old_output_moves_into_objects_and_is_read_as_if_it_had_not(rig: Rig, long: str) -> None:
    Worker(rig).advance(long)

    x = rig.ended(long)
    assert x.state is State.COMPLETED
    assert read(rig, long) == LINES
    assert rig.core.store.client.zcard(executionkeys.segments(long)) > 10
    assert held(rig, long) == x.tail_bytes < 4 * TAIL + 64 * 1024
    for after in range(0, x.entries, 37):
        seqs = [entry.seq for entry in history.output(rig.core, long, after=after)]
        assert seqs == list(range(after + 1, x.entries + 1))
    assert "output_waits" not in rig.stages(long)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("n", range(0, 60, 2))
@pytest.mark.parametrize("when", ["before", "after"])
def test_dying_at_any_call_while_output_moves_loses_and_doubles_no_line(
    rig: Rig, long: str, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = Worker(rig)
    die(rig, victim, n, when, monkeypatch, (rig.core.objects, "put"))

    victim.advance(long)
    eventually(lambda: victim.died.is_set() or rig.job(long).state in lifecycle.TERMINAL)
    victim.vanish()
    monkeypatch.undo()
    Worker(rig).advance(long)

    x = rig.ended(long)
    assert (x.state, x.error) == (State.COMPLETED, None)
    assert rig.starts(long) == 1
    assert read(rig, long) == LINES


def test_without_an_object_store_the_tail_grows_so_far_and_then_waits(
    rig: Rig, long: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = rig.core.objects.put
    away = True

    def refusing(key: str, chunks: Any) -> Any:
        if away and "/output/" in key:
            raise errors.ObjectStoreError("no space left")
        return put(key, chunks)

    monkeypatch.setattr(rig.core.objects, "put", refusing)
    Worker(rig).advance(long)
    eventually(lambda: held(rig, long) > 4 * TAIL)
    eventually(lambda: "output_waits" in rig.stages(long))
    at_most = held(rig, long)
    assert rig.job(long).state is State.RUNNING
    assert at_most < 4 * TAIL + 64 * 1024

    away = False

    assert rig.ended(long, 20).state is State.COMPLETED
    assert read(rig, long) == LINES
    assert rig.stages(long).count("output_waits") == 1


def test_a_job_that_is_kept_waiting_does_not_hang(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from knify.tail import Tail

    rig.script("quiet", steps=[(0, OUT, b"here\n")], hangs=True)
    job = rig.submit("quiet", hang_timeout=1)
    worker = Worker(rig)
    monkeypatch.setattr(Tail, "add", _waiting)
    worker.advance(job)
    follow = eventually(lambda: worker.watcher._following.get(job))
    eventually(lambda: follow._tail.waits)
    first = follow._heard
    rig.loop.call(_look(follow), 5)
    assert follow._heard > first


async def _waiting(tail: Any, size: int) -> None:
    import asyncio

    tail.waits = True
    await asyncio.sleep(3600)


async def _look(follow: Any) -> None:
    import asyncio

    await asyncio.sleep(0.05)
    follow._deadline()
