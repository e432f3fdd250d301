"""Whatever comes in whatever order: what is used is what is active, nobody waits for nothing."""

from __future__ import annotations

import random

import hypothesis
from hypothesis import strategies as st

from knify import model
from knify.lifecycle import State
from knify.store import keys, open
from tests.parts import redis as redis_part
from tests.store.nodes import GIB, KINDS, Node, job

SIZES = [{"memory": n * GIB, "cpus": c, "disk": GIB} for n in (1, 2, 4) for c in (0.5, 2)]
STEPS = ("submit", "submit", "turn", "claim", "claim", "finish", "cancel", "take over", "beat")


@hypothesis.settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    steps=st.lists(st.sampled_from(STEPS), min_size=5, max_size=60), seed=st.integers(0, 2**16)
)
def test_any_order_of_events_keeps_capacity_and_leaves_nobody_waiting(
    store: open.Store, redis_server: redis_part.Server, steps: list[str], seed: int
) -> None:
    redis_server.client().flushall()
    play = Play(store, random.Random(seed))

    for step in steps:
        getattr(play, step.replace(" ", "_"))()
        play.check()
    play.settle()

    assert play.left() == []
    play.check()
    assert store.client.keys("knify:line*") + store.client.keys("knify:oldest*") == []


class Play:
    """Two nodes, three tenants, and jobs of many sizes."""

    def __init__(self, store: open.Store, chance: random.Random) -> None:
        self.store, self.chance = store, chance
        small = Node(store, "small", slots=2, memory=3 * GIB, cpus=1, cpu_overcommit=3)
        large = Node(store, "large", slots=4, memory=6 * GIB, cpus=4, disk=3 * GIB)
        self.nodes = [small, large]
        self.jobs: list[model.Execution] = []
        self.claimed: dict[str, tuple[Node, model.Execution]] = {}

    def submit(self) -> None:
        tenant, size = self.chance.choice("abc"), self.chance.choice(SIZES)
        self.jobs.append(job(self.store, tenant, priority=self.chance.randint(-1, 1), **size))

    def turn(self) -> None:
        """The next job of a sandbox that may live on a node."""
        if self.claimed:
            node, x = self.chance.choice(sorted(self.claimed.values(), key=lambda p: p[1].id))
            r = x.spec.resources
            if self.store.sandboxes.find(x.sandbox_id or "").node is None:
                x = node.make(x)
            size = {"cpus": r.cpus, "memory": r.memory, "disk": r.disk}
            self.jobs.append(job(self.store, x.tenant, parent=x, **size))

    def claim(self) -> None:
        if waiting := self.left():
            self._claim(self.chance.choice(self.nodes), self.chance.choice(waiting))

    def finish(self) -> None:
        if self.claimed:
            x_id = self.chance.choice(sorted(self.claimed))
            node, x = self.claimed.pop(x_id)
            node.finish(x)

    def cancel(self) -> None:
        if waiting := self.left():
            self.store.executions.cancel(self.chance.choice(waiting), "enough", {"t": 1, "e": []})

    def take_over(self) -> None:
        """Some node claims what another one's dead worker held."""
        if self.claimed:
            x_id = self.chance.choice(sorted(self.claimed))
            owner = self.store.executions.find(x_id).owner
            self._claim(self.chance.choice(self.nodes), x_id, dead=owner)

    def beat(self) -> None:
        self.chance.choice(self.nodes).beat(patience_ms=self.chance.choice([0, 600_000]))

    def settle(self) -> None:
        """Who is due, or woken by a beat, is hinted until nothing moves; then one more ends."""
        for node in self.nodes:
            node.beat(patience_ms=600_000)
            self.store.client.delete(keys.hold(node.name))
        for _ in range(1000):
            due = dict(self.store.executions.due(again_ms=0))
            due |= {x_id: "" for node in self.nodes if (x_id := node.beat(patience_ms=600_000))}
            moved = [
                self._claim(node, x_id)
                for x_id in due
                for node in self.nodes
                if x_id not in self.claimed
            ]
            if any(moved):
                continue
            self.nothing_that_fits_waits()
            if not self.claimed:
                return
            self.finish()
            self.check()

    def nothing_that_fits_waits(self) -> None:
        """Who still waits, when nobody who was woken moves any more, does not fit anywhere."""
        for x_id in self.left():
            x = self.store.executions.find(x_id)
            if self.store.sandboxes.turns(x.sandbox_id)[0] != x.id:
                continue
            bound = self.store.sandboxes.find(x.sandbox_id).node
            for node in self.nodes:
                if bound in (None, node.name):
                    assert not self._fits(x, node), (x_id, node.name)

    def check(self) -> None:
        for node in self.nodes:
            used = node.used
            assert used == node.summed
            assert all(used[kind] <= self._limit(node, kind) for kind in KINDS)
            assert len(node.active) <= node.facts["slots"]
            assert self.store.admission.recount(node.name) is None

    def left(self) -> list[str]:
        """Those that are not claimed and not over."""
        found = self.store.executions.get_many(x.id for x in self.jobs)
        return [x.id for x in found if x.state is State.PENDING and x.id not in self.claimed]

    def _claim(self, node: Node, x_id: str, dead: str = "") -> bool:
        x = self.store.executions.find(x_id)
        claim = node.claim(x, dead=dead or "")
        if claim.execution is None:
            return False
        self.claimed[x_id] = (node, claim.execution)
        return True

    def _fits(self, x: model.Execution, node: Node) -> bool:
        r = x.spec.resources
        needs = {"cpus": round(r.cpus * 1000), "memory": r.memory, "disk": r.disk}
        return len(node.active) < node.facts["slots"] and all(
            node.used[kind] + needs[kind] <= self._limit(node, kind) for kind in KINDS
        )

    def _limit(self, node: Node, kind: str) -> float:
        if kind == "cpus":
            return node.facts["cpus"] * node.facts["cpu_overcommit"] * 1000
        return node.facts.get(kind, float("inf"))
