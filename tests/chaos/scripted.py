"""Many scripted jobs on real Redis and real Celery workers, each worker killed at a failpoint."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from dataclasses import dataclass

from knify.services import retention
from knify.store import keys
from tests.chaos import scripted_look, scripted_points
from tests.chaos.history import Violation
from tests.chaos.scripted_rig import Rig, Worker
from tests.chaos.scripted_users import Users

_WORKERS = 3  # at a time
_SPARED = 14.0  # seconds between two deaths of the worker that has no point
_FIRES = 30.0  # seconds within which a worker must come to its point; a second one gets twice that
_ENDS = 300.0  # seconds for the rest, in the end
_AHEAD = 400  # jobs that may be under way
_FEW = 20  # that are enough for a point to be reached
_UNHEARD = 1_500  # deliveries that may wait; of 5,000 the oldest are given up, as they should be


@dataclass(frozen=True)
class Found:
    """What a run found."""

    jobs: int
    crashes: int
    seconds: float
    deliveries: int  # that the webhooks' receiver heard of
    violations: list[Violation]
    silent: list[str]  # points that no process came to

    @property
    def summary(self) -> str:
        """One line."""
        kinds = Counter(violation.kind for violation in self.violations)
        some = ", ".join(f"{many} {kind}" for kind, many in sorted(kinds.items()))
        silent = f", never reached: {', '.join(self.silent)}" if self.silent else ""
        return (
            f"scripted: {self.jobs} jobs over {self.crashes} crashes at failpoints in"
            f" {self.seconds:.0f} s, {self.deliveries} webhooks,"
            f" {len(self.violations)} violations{f' ({some})' if some else ''}{silent}"
        )


def run(jobs: int, seed: int, points: int | None = None) -> Found:
    """Crash at every point (or at `points` of them, and half as many of submitters)."""
    began, rng = time.monotonic(), random.Random(seed)
    workers, own = scripted_points.of_workers(), scripted_points.of_submitters()
    rng.shuffle(workers)
    rng.shuffle(own)
    workers, own = workers[:points], own[: points and points // 2]
    workers.sort(key=lambda point: "retire" in point)  # these need a sandbox that expired
    with Rig(rng, own) as rig:
        one = _Run(rig, Users(rig.core, rng, rig.order, rig.receiver.url), jobs)
        one.crash(workers)
        one.end()
        found = list(scripted_look.look(rig.core, one.users, rig.host, rig.receiver.got))
        if found:
            rig.keep_log()
        heard = len({got.id for got in rig.receiver.got})
        silent = one.silent + rig.silent
        seconds = time.monotonic() - began
        return Found(len(one.users.wishes), rig.crashes, seconds, heard, found, silent)


class _Run:
    """Workers come, die at their points, and users go on meanwhile."""

    def __init__(self, rig: Rig, users: Users, jobs: int) -> None:
        self.rig = rig
        self.users = users
        self.silent: list[str] = []  # points that no worker came to
        self._jobs = jobs
        self._alive: dict[str, tuple[Worker, float]] = {}  # by point; until when (monotonic)
        self._again: set[str] = set()

    def crash(self, points: list[str]) -> None:
        """A few workers at a time, each to its point, beside one that lives."""
        waiting, total = deque(points), len(points) + 1
        spared = time.monotonic()
        while waiting or self._alive or self.rig.own_now:
            while waiting and len(self._alive) < _WORKERS:
                self._begin(waiting.popleft())
            if time.monotonic() > spared + _SPARED:  # so that there is always something to take
                spared = time.monotonic()
                self.rig.kill_steady()
            self.rig.keep_steady()
            self._feed(self._jobs * (total - len(waiting)) // total)
            for point in list(self._alive):
                if not self._end_of(point):
                    waiting.append(point)

    def _begin(self, point: str) -> None:
        deadline = time.monotonic() + _FIRES * (1 + (point in self._again))
        if point in self._again or any(word in point for word in ("take_over", "reattach")):
            self.rig.kill_steady()
        self._alive[point] = self.rig.start_worker(point), deadline

    def _end_of(self, point: str) -> bool:
        """False when it has to be tried again."""
        worker, deadline = self._alive[point]
        if worker.poll() is None and time.monotonic() < deadline:
            return True
        del self._alive[point]
        if self.rig.fired(point):
            self.rig.crashes += 1
            return True
        if worker.poll() is not None:
            return False  # killed by another one as its lease ran out: on a slow machine only
        worker.kill()
        is_silent = point in self._again
        self._again.add(point)
        if is_silent:
            self.silent.append(point)
        return is_silent

    def _feed(self, target: int) -> None:
        """Some work, if there is room for it; something rare in any case."""
        under_way = self.rig.core.store.client.zcard(keys.DUE)
        full = under_way < _AHEAD and len(self.users.wishes) < target and self._unheard < _UNHEARD
        self.users.needed = scripted_points.kinds_for(list(self._alive))
        self.users.work(
            40 if full else int(under_way < _FEW),
            scripted_points.order_for(self.rig.own_now),
            halves=any("script.forget" in point for point in self._alive),
        )
        time.sleep(0.05)

    @property
    def _unheard(self) -> int:
        return self.rig.core.store.webhooks.waiting([self.rig.hook])[0]

    def end(self) -> None:
        """All that is left, with the worker that lives."""
        began = time.monotonic()
        while len(self.users.wishes) < self._jobs:
            self.rig.keep_steady()
            assert time.monotonic() < began + _ENDS + self._jobs / 10, "too slow"
            self._feed(self._jobs)
        self.users.cancel_what_hangs()
        self.rig.receiver.default = 200
        core = self.rig.core
        while core.store.client.zcard(keys.DUE) or any(scripted_look.left(core)) or self._unheard:
            if time.monotonic() > began + _ENDS + self._jobs / 10:
                return  # the checker says what is not at its end
            self.rig.keep_steady()
            time.sleep(0.1)
        now = core.store.registry.now_ms()
        while core.store.client.zcard(keys.FORGOTTEN):  # as after an hour
            retention.tidy(core, now + 3_600_000, expire=False)
            assert time.monotonic() < began + _ENDS + self._jobs / 5, "what was forgotten stays"
