"""Collecting artifacts ends, whatever a job left behind."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from knify import collect, errors, fields, globs, model, turn
from knify.lifecycle import State
from knify.sandbox import tree
from knify.services import artifacts, jobs
from knify.turn import Turn
from tests.parts.stack import eventually
from tests.runner.rig import Rig, Worker


def _after(calls: int, failed: Exception) -> Callable[[], None]:
    """A check that raises at its n-th call."""
    left = [calls]

    def check() -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise failed

    return check


def _ready(rig: Rig, tmp_path: Path, files: dict[str, bytes], **fields: object) -> tuple[str, Path]:
    job = rig.submit("true", **fields)
    root = tmp_path / "work"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return job, root


@pytest.mark.parametrize(
    ("patterns", "field"),
    [(["*"] * 101, "spec.artifact_patterns"), (["*", "a" * 257], "spec.artifact_patterns.1")],
)
def test_patterns_have_bounds(rig: Rig, patterns: list[str], field: str) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        rig.submit("true", artifact_patterns=patterns)

    assert str(refused.value.detail).find(field.removeprefix("spec.")) >= 0
    rig.submit("true", artifact_patterns=["a" * fields.MAX_PATTERN] * fields.MAX_PATTERNS)


def test_patterns_are_compiled_once_for_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    translate = fnmatch.translate
    monkeypatch.setattr(fnmatch, "translate", lambda text: compiled.append(text) or translate(text))

    found = globs.Globs(["**/*.log", "**/**/**/*.log", "x/[ab]?", "**/*.log"])

    names = ["a.log", "a/b/c.log", "x/a1", "x/c1", "x/y/a1", "log", "x/ab/"]
    assert [n for n in names if found.match(n)] == ["a.log", "a/b/c.log", "x/a1"]
    assert len(compiled) == 4


def test_collecting_ends_when_its_time_is_over_and_keeps_what_it_has(
    rig: Rig, tmp_path: Path
) -> None:
    job, root = _ready(rig, tmp_path, {f"{n}.txt": b"x" for n in range(10)})
    late = _after(10 + 2 * 2 + 1, errors.OutOfTime())  # entries; a name and a piece of each file

    found = collect.artifacts(rig.core.objects, rig.job(job), root, limit=100, check=late)

    assert [a.path for a in found.artifacts] == ["0.txt", "1.txt"]
    assert "KNIFY_COLLECT_SECONDS" in found.problems[0]
    assert artifacts.listing(rig.core, job) == []
    collect.publish(rig.core.objects, rig.job(job), found)
    assert artifacts.listing(rig.core, job) == found.artifacts


@pytest.mark.parametrize("patterns", [[], ["**/*"]])
def test_time_that_is_over_while_it_looks_ends_it_too(
    rig: Rig, tmp_path: Path, patterns: list[str]
) -> None:
    files = {f"d{n}/{n}.txt": b"" for n in range(20)}
    job, root = _ready(rig, tmp_path, files, artifact_patterns=patterns)
    x, store = rig.job(job), rig.core.objects

    for calls in (1, 20, 40, 60):
        late = _after(calls, errors.OutOfTime())
        found = collect.artifacts(store, x, root, limit=100, check=late)
        assert len(found.problems) == 1
        assert len(found.artifacts) < 20


def test_a_large_file_is_left_in_the_middle(rig: Rig, tmp_path: Path) -> None:
    job, root = _ready(rig, tmp_path, {"a": b"a"})
    with (root / "hole").open("wb") as hole:
        hole.truncate(64 * 1024**2)
    late = _after(2 + 2 + 4, errors.OutOfTime())  # the fourth piece of it

    found = collect.artifacts(rig.core.objects, rig.job(job), root, limit=2**30, check=late)

    assert [a.path for a in found.artifacts] == ["a"]


def test_a_lost_lease_stops_collecting_and_publishes_nothing(rig: Rig, tmp_path: Path) -> None:
    job, root = _ready(rig, tmp_path, {"a": b"a", "b": b"b"})
    lost = _after(4, errors.LeaseLost())

    with pytest.raises(errors.LeaseLost):
        collect.artifacts(rig.core.objects, rig.job(job), root, limit=100, check=lost)

    assert artifacts.listing(rig.core, job) == []


def test_a_job_whose_time_for_artifacts_is_over_ends_all_the_same(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.script("make", files={f"{n}.txt": b"x" for n in range(9)})
    job = rig.submit("make")
    looked = []
    listing = tree.listing

    def slow(root: Path, **options: Callable[[], None]) -> tree.Listing:
        looked.append(root)
        if "check" in options:
            _after(1, errors.OutOfTime())()
        return listing(root)

    monkeypatch.setattr(tree, "listing", slow)

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert rig.stages(job).count("artifact_skipped") == 1


def _cancelled_while_collecting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, exit_code: int, hear: Callable[[Worker, str], object]
) -> str:
    """A job that somebody cancels when its files are being looked for."""
    rig.script("make", files={"report.md": b"x"}, exit_code=exit_code)
    job, worker, listing = rig.submit("make"), Worker(rig), tree.listing

    def slow(root: Path, **options: Callable[[], None]) -> tree.Listing:
        found, end = listing(root), time.monotonic() + 60
        if "check" in options:
            jobs.cancel(rig.core, "default", job, "enough")
            hear(worker, job)
        while "check" in options and time.monotonic() < end:
            options["check"]()
        return found

    monkeypatch.setattr(tree, "listing", slow)
    monkeypatch.setattr(turn, "CUT_SECONDS", 0.05)
    worker.advance(job)
    rig.ended(job)
    return job


@pytest.mark.parametrize(
    "hear", [lambda w, job: w.watcher.cancel(job), lambda w, _: w.leases.renew()]
)
def test_a_job_that_is_cancelled_while_its_files_are_collected_ends_at_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, hear: Callable[[Worker, str], object]
) -> None:
    job = _cancelled_while_collecting(rig, monkeypatch, 0, hear)

    ended, kept = rig.job(job), artifacts.result(rig.core.objects, job)
    assert (ended.state, ended.error) == (State.CANCELLED, "enough")
    assert kept is not None
    assert (kept.artifacts, kept.outcome.kind) == ([], "cancelled")
    assert "artifact_skipped" in rig.stages(job)


def test_what_had_failed_before_that_stays_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _cancelled_while_collecting(rig, monkeypatch, 3, lambda w, job: w.watcher.cancel(job))

    assert (rig.job(job).state, rig.job(job).exit_code) == (State.FAILED, 3)


def test_files_of_a_job_that_was_cancelled_before_are_collected(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "CUT_SECONDS", 0.05)
    job = rig.submit("true")
    worker = Worker(rig)
    hands = worker.runner._hands
    claim = hands._leases.claim(job)
    assert claim.execution is not None
    ended = claim.execution.evolve(outcome=model.Outcome("cancelled"), cancel_requested_at=1)

    hands.going(Turn(ended), 1000)()

    going = hands.going(Turn(ended.evolve(outcome=model.Outcome("exited", 0))), 1000)
    going()  # a moment is left
    with pytest.raises(errors.CutShort):
        eventually(going)


def test_the_steps_check_counts_the_seconds_and_the_lease(rig: Rig) -> None:
    job = rig.submit("true")
    worker = Worker(rig)
    hands = worker.runner._hands
    claim = hands._leases.claim(job)
    assert claim.execution is not None
    turn = Turn(claim.execution)
    hands.going(turn, 1000)()
    with pytest.raises(errors.OutOfTime):
        hands.going(turn, -1)()
    hands._leases.drop(job)
    with pytest.raises(errors.LeaseLost):
        hands.going(turn, 1000)()


def test_holes_count_against_the_disk_of_the_job(rig: Rig) -> None:
    rig.script("make", files={"small": b"x", "large": b"y" * (1024**2 + 1)})
    job = rig.submit("make", disk="1M")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert [a.path for a in artifacts.listing(rig.core, job)] == ["small"]
    assert "artifact_skipped" in rig.stages(job)
