"""One run on the real stack: users work, the nemesis hurts, then everything is looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.chaos import agentfaults, checker, leaks, observe, report
from tests.chaos.faults import FAULTS, Fault, World
from tests.chaos.history import Violation
from tests.chaos.jobfaults import JOB_FAULTS
from tests.chaos.load import Load, User, all_ids
from tests.chaos.nemesis import Nemesis
from tests.parts import disk
from tests.parts import stack as stack_part

USERS = 5
_ENDS = 240.0  # seconds for all jobs to end once nothing hurts any more
_WARM = 12  # jobs before the first fault
_OUTPUT = str(32 * 1024)  # each line of it is an entry, and 30 of these a segment
_DISKS = {"objects": "256m", "spool": "64m", "redis": "512m"}


def run(
    seconds: float,
    seed: int,
    faults: Sequence[Fault] = FAULTS,
    job_faults: Sequence[Fault] = (*JOB_FAULTS, *agentfaults.AGENT_FAULTS),
    least: int = 3,
) -> report.Result:
    """Everything from an empty home to nothing left. KeyboardInterrupt is obeyed at once."""
    began = time.monotonic()
    with (
        _disks() as prepare,
        agentfaults.agents(job_faults) as agents,
        stack_part.prepared(
            prepare,
            KNIFY_LEASE_SECONDS="5",
            KNIFY_SWEEP_SECONDS="1",
            KNIFY_OUTPUT_BYTES=_OUTPUT,
            KNIFY_DISK_RESERVE="0",  # some of its disks are smaller than the reserve
            KNIFY_ARCHIVE_HOURS="0.003",  # 11 s
            KNIFY_HOT_SECONDS="4",
            KNIFY_PACK_SECONDS="20",
            KNIFY_OUTPUT_TAIL_BYTES="6144",
            **(agents.settings if agents else {}),
        ) as stack,
    ):
        load = Load(stack, seed)
        world = World(stack, load, random.Random(seed))
        try:
            load.start(USERS)
            stack_part.eventually(lambda: len(load.done) >= _WARM, seconds=180)
            before = leaks.uses(stack)
            nemeses = [
                Nemesis(world, faults, 2.0, least),
                Nemesis(
                    World(stack, load, random.Random(seed + 1), agents), job_faults, 6.0, least
                ),
            ]
            for nemesis in nemeses:
                nemesis.start(seconds)
            for nemesis in nemeses:
                while not nemesis.join(1):  # short: Ctrl-C is heard between two joins
                    pass
        finally:
            load.open_until.set()
        result = _conclude(load, world, nemeses, before, seed)
        result.minutes = (time.monotonic() - began) / 60
        for line in report.violations(result, load, stack):
            print(line, flush=True)
        load.given_up.set()
        return result


def _conclude(
    load: Load,
    world: World,
    nemeses: Sequence[Nemesis],
    before: dict[str, leaks.Use],
    seed: int,
) -> report.Result:
    """Wait for quiet; then the last look at everything."""
    print(f"{time.strftime('%H:%M:%S')} no more faults, no new jobs", flush=True)
    load.join(_ENDS)
    user = load.user()
    deadline = time.monotonic() + _ENDS
    while user.look(lambda: user.store.client.zcard("knify:due")) and time.monotonic() < deadline:
        time.sleep(0.5)
    ids = user.look(lambda: all_ids(user.store))
    found = list(load.violations)
    rest = [user.seen(id_) for id_ in ids if id_ not in load.done]
    found += checker.check([w for w in load.wishes if not set(w.ids) & set(load.done)], rest)
    found += list(_again(load, user.store, set(ids)))
    found += leaks.check(world.stack, user.core, before, len(ids))
    found += list(_unpacked(load, user))
    rows = [row for nemesis in nemeses for row in nemesis.rows.values()]
    stages = ("sandbox_resumed", "sandbox_restored", "sandbox_rebuilt", "output_lost")
    parts = sum(key.rpartition("/")[0].endswith("/output") for key in leaks.objects(user.core))
    noted = ", ".join(f"{load.stages[stage]} {stage}" for stage in stages)
    notes = [f"turns and pauses: {noted}; parts of output in objects: {parts}"]
    return report.Result(seed, 0.0, dict(load.kinds), rows, found, dict(load.answers), notes)


def _unpacked(load: Load, user: User) -> Iterator[Violation]:
    """Packed, every job reads as it did before."""
    wishes = {id_: wish for wish in load.wishes for id_ in wish.ids}
    for id_ in load.done:
        one = user.look(lambda id_=id_: observe.read(user.core, id_))
        if id_ in wishes:  # its files were looked at when it ended
            yield from checker.job(dataclasses.replace(wishes[id_], hashed=False), one)


def _again(load: Load, store: object, ids: set[str]) -> Iterator[Violation]:
    """What had ended stays as it was; a key has one execution."""
    executions = store.executions  # type: ignore[attr-defined]
    keys: dict[str, str] = {}
    for start in range(0, len(ids), 500):
        for x in executions.get_many(sorted(ids)[start : start + 500]):
            key = str(x.metadata.get("key", ""))
            if keys.setdefault(key, x.id) != x.id:
                yield Violation("idempotency", x.id, f"{keys[key]} has the same key")
            if x.id in load.done and load.done[x.id] != (x.state.value, x.events, x.entries):
                text = f"changed after its end: {load.done[x.id]}, {x.state} {x.events} {x.entries}"
                yield Violation("illegal", x.id, text)
    for wish in load.wishes:
        if len(set(wish.ids)) > 1:
            yield Violation("idempotency", wish.ids[0], f"one key, many answers: {wish.ids}")
        for id_ in set(wish.ids) - ids:
            yield Violation("lost", id_, "was accepted and is not there")


@contextlib.contextmanager
def _disks() -> Iterator[Callable[[Path], None]]:
    """Small disks of their own for what is filled; gone at the end whatever happens."""
    with contextlib.ExitStack() as undo:

        def prepare(home: Path) -> None:
            for name, size in _DISKS.items():
                undo.callback(shutil.rmtree, home.parent, ignore_errors=True)  # once unmounted
                undo.enter_context(disk.of_its_own(home / name, size))

        yield prepare
