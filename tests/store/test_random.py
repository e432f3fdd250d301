"""Any legal order of all scripts leaves every list of Redis right after each of them."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import hypothesis
from hypothesis import strategies as st

from knify import errors, ids, model
from knify.lifecycle import SandboxState, State
from knify.services import packing
from knify.store import keys, open
from tests import factories
from tests.parts import redis as redis_part
from tests.store import invariants

ME = "{}/b/1/1"
CHILDREN = ({}, {"max_concurrent": 1}, {"max_concurrent": 2, "wait_for_children": True})
NODES = ("n", "m")
STEPS = (
    *("submit", "submit", "turn", "turn", "turn", "claim", "claim", "claim", "claim", "claim"),
    *("advance", "advance", "advance", "end", "end", "end", "end", "end", "end"),
    *("archive", "archive", "archive", "commit", "commit", "tidy", "tidy", "unhold", "unhold"),
    *("fail", "lose files", "cancel", "release", "abort", "cleanup", "force", "expire", "stop"),
    *("lose", "lose sandbox", "rescue", "drain", "pack", "forget", "beat", "delete", "delete"),
    *("roll", "adopt", "drop workspace", "task", "child", "child", "park", "park"),
)


@hypothesis.settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    steps=st.lists(st.sampled_from(STEPS), min_size=10, max_size=60), seed=st.integers(0, 2**16)
)
def test_any_order_of_scripts_keeps_all_lists_right(
    store: open.Store, redis_server: redis_part.Server, steps: list[str], seed: int
) -> None:
    redis_server.client().flushall()
    play = Play(store, random.Random(seed))

    for n, step in enumerate(steps):
        with contextlib.suppress(errors.KnifyError):
            getattr(play, step.replace(" ", "_"))()
        assert invariants.problems(store) == [], (steps[: n + 1], play.said)


class Play:
    """Two nodes, a few sandboxes, and whatever may be done to them."""

    def __init__(self, store: open.Store, chance: random.Random) -> None:
        self.store, self.chance = store, chance
        self.jobs: list[model.Execution] = []
        self.held: list[tuple[str, str, str]] = []
        self.archives: list[tuple[str, str, str]] = []
        self.said: list[str] = []
        store.workspaces.begin("workspaces/ws_1")
        self.version = store.workspaces.add(workspace()).workspace
        for node in NODES:
            self.beat(node)

    # What is there

    def job(self, *states: State) -> model.Execution:
        found = self.store.executions.get_many(x.id for x in self.jobs)
        living = [x for x in found if not x.completed_at]
        if not states and living and self.chance.random() < 0.9:
            return self._one(living)
        return self._one([x for x in found if not states or x.state in states])

    def owned(self) -> model.Execution:
        found = self.store.executions.get_many(x.id for x in self.jobs)
        return self._one([x for x in found if x.owner])

    def sandbox(self, *states: SandboxState) -> model.Sandbox:
        found = self.store.sandboxes.get_many({x.sandbox_id or "" for x in self.jobs})
        found.sort(key=lambda s: s.id)
        return self._one([s for s in found if not states or s.state in states])

    def _one(self, found: list[Any]) -> Any:
        if not found:
            raise errors.NotFound
        one = self.chance.choice(found)
        self.said.append(f"{one.id} {one.state}")
        return one

    def _seldom(self) -> None:
        """What ends a sandbox leaves less to try."""
        if self.chance.random() < 0.6:
            raise errors.NotFound

    # Executions

    def submit(self) -> None:
        used = self.version.id if self.chance.random() < 0.5 else None
        sandbox = factories.sandbox(workspace_id=used)
        metadata = {"team": self.chance.choice("ab"), "n": self.chance.randrange(3)}
        self._submit(factories.execution(sandbox_id=sandbox.id, metadata=metadata), sandbox)

    def task(self, parent: str | None = None) -> None:
        sandbox, new = factories.sandbox(), ids.new("task")
        request = {"job_type": "command_task", "children": self.chance.choice(CHILDREN)}
        x = factories.execution(
            id=new, task_id=new, sandbox_id=sandbox.id, request=request, child_of=parent
        )
        self._submit(x, sandbox)

    def child(self) -> None:
        self.task(self._one([x for x in self.jobs if x.task_id]).id)

    def park(self) -> None:
        x = self.owned()
        while x.state is not State.COMPLETING:
            self._advance(x)
            x = self.store.executions.get(x.id, tenant=x.tenant)
        x = self.store.executions.note(x, "", "", sandbox={"state": SandboxState.PAUSED})
        hints = self.store.families.park(x, "waits")
        self.said.append(f"parked: {hints}")

    def turn(self) -> None:
        sandbox = self.sandbox()
        x = factories.execution(sandbox_id=sandbox.id, parent_id="job_parent")
        self._submit(x, None)

    def _submit(self, x: model.Execution, sandbox: model.Sandbox | None) -> None:
        self.store.executions.submit(x, sandbox)
        self.jobs.append(x)

    def claim(self) -> None:
        node, x = self.chance.choice(NODES), self.job(State.PENDING)
        dead = x.owner if self.chance.random() < 0.3 else None
        place = {"owner": ME.format(node), "node": node, "lease_ms": 60_000, "slots": 2}
        claim = self.store.executions.claim(x.id, **place, dead=dead or "")
        self.said.append(claim.verdict)
        if claim.verdict == "elsewhere":
            place |= {"owner": ME.format(claim.other), "node": claim.other}
            self.store.executions.claim(x.id, **place, dead=dead or "")
        if claim.verdict == "leftover":
            self._hold(node, claim.sandbox, "remove")

    def advance(self) -> None:
        x = self.owned()
        sandbox = self.store.sandboxes.find(x.sandbox_id)
        change: dict[str, Any] = {}
        to = {
            State.PENDING: State.STAGING,
            State.STAGING: State.PROVISIONING,
            State.PROVISIONING: State.READY,
            State.READY: State.RUNNING,
            State.RUNNING: State.COMPLETING,
            State.COMPLETING: State.COMPLETED,
        }[x.state]
        if to is State.PROVISIONING:
            change = {"node": x.node}
            if sandbox.state is SandboxState.ARCHIVED:
                change["state"] = SandboxState.CREATING
        elif to is State.READY:
            change = {"state": SandboxState.ACTIVE, "container": "c", "hot_until": None}
        elif to is State.COMPLETED:
            hot = {"hot_ms": 60_000} if self.chance.random() < 0.5 else {"hot_until": None}
            change = {"state": SandboxState.PAUSED} | hot
        self.store.executions.move(x, to, sandbox=change)

    def end(self) -> None:
        x = self.owned()
        while x.state is not State.COMPLETED:
            self._advance(x)
            x = self.store.executions.find(x.id)

    def _advance(self, x: model.Execution) -> None:
        self.owned = lambda: x  # type: ignore[method-assign]
        try:
            self.advance()
        finally:
            del self.owned  # type: ignore[method-assign]

    def fail(self) -> None:
        """As the runner does: the sandbox is stopped first, if it was made."""
        x = self.owned()
        sandbox = self.store.sandboxes.find(x.sandbox_id)
        known = sandbox.state in (SandboxState.ACTIVE, SandboxState.PAUSED) and sandbox.node
        change = {"state": SandboxState.PAUSED, "hot_until": None} if known else {}
        if self.chance.random() < 0.5:
            change["doomed"] = "1"
        self.store.executions.move(x, State.FAILED, sandbox=change)

    def lose_files(self) -> None:
        self._seldom()
        x = self.owned()
        self.store.executions.move(x, State.FAILED, sandbox={"state": SandboxState.LOST})

    def cancel(self) -> None:
        self.store.executions.cancel(self.job().id, "enough", {"t": 1, "e": []})

    def release(self) -> None:
        self.store.executions.release(self.owned())

    def lose(self) -> None:
        self._seldom()
        x, node = self.job(), self.chance.choice(NODES)
        self.store.client.zadd(keys.NODES, {node: 1})
        self.store.client.hset(keys.execution(x.id), "state_changed_at", 1)
        if x.owner:
            self.store.client.hset(keys.execution(x.id), "lease_until", 1)
        self.store.executions.lose(x.id, node, 1000, "away", {"t": 1, "e": []})

    # Sandboxes

    def archive(self) -> None:
        sandbox = self.sandbox(SandboxState.PAUSED)
        node = sandbox.node or "" if self.chance.random() < 0.9 else "m"
        if sandbox.hot_until:
            self._hold(node, sandbox.id, "stop")
            self.unhold()
        verdict, key = self.store.sandboxes.begin_archive(
            sandbox.id, node=node, owner=ME.format(node), limit_ms=60_000
        )
        if verdict == "begun":
            self.archives.append((sandbox.id, node, key))

    def commit(self) -> None:
        if self.archives:
            name, node, key = self.archives.pop()
            if not self.store.sandboxes.commit_archive(
                name, node=node, key=key, size=1, sha256="00"
            ):
                self.store.sandboxes.abort_archive(name, key)

    def abort(self) -> None:
        if self.archives:
            name, _, key = self.archives.pop()
            self.store.sandboxes.abort_archive(name, key)

    def cleanup(self) -> None:
        self._seldom()
        self.store.sandboxes.retire(self.sandbox().id)

    def force(self) -> None:
        self._seldom()
        self.store.sandboxes.retire(self.sandbox().id, force=True)

    def expire(self) -> None:
        self._seldom()
        name = self.sandbox().id
        if self.store.client.hexists(keys.sandbox(name), "expires_at"):
            self.store.client.hset(keys.sandbox(name), "expires_at", 1)
        self.store.sandboxes.retire(name, expired=True)

    def tidy(self) -> None:
        """A node removes what lives there no more."""
        node = self.chance.choice(NODES)
        for name in self.store.sandboxes.removals(node):
            self._hold(node, name, "remove")

    def stop(self) -> None:
        self._hold(self.chance.choice(NODES), self.sandbox().id, "stop")

    def _hold(self, node: str, name: str, purpose: str) -> None:
        owner = ME.format(node)
        verdict, _ = self.store.sandboxes.hold(
            name, node=node, owner=owner, ms=60_000, purpose=purpose
        )
        if verdict == "held":
            self.held.append((node, name, {"stop": "stopped", "remove": "removed"}[purpose]))

    def unhold(self) -> None:
        if self.held:
            node, name, done = self.held.pop()
            done = done if self.chance.random() < 0.8 else ""
            self.store.sandboxes.unhold(name, node=node, owner=ME.format(node), done=done)

    def lose_sandbox(self) -> None:
        sandbox = self.sandbox(SandboxState.PAUSED, SandboxState.ACTIVE)
        self.store.sandboxes.lose(sandbox.node or "", sandbox, "gone")

    def rescue(self) -> None:
        sandbox = self.sandbox(SandboxState.PAUSED, SandboxState.ACTIVE)
        key = sandbox.archiving or f"sandboxes/{sandbox.id}/{2**50}.tar.age"
        turns = self.store.sandboxes.turns(sandbox.id)
        turn = self.store.executions.find(turns[0]) if turns else None
        self.store.sandboxes.rescue(sandbox, turn, key=key, size=1, sha256="00")

    def adopt(self) -> None:
        found = self.store.sandboxes.get_many({x.sandbox_id or "" for x in self.jobs})
        made = [s.id for s in found if s.state is not SandboxState.CREATING]
        self.store.sandboxes.adopt("n", made)

    # The rest

    def drain(self) -> None:
        self.store.registry.drain("m", self.chance.random() < 0.5)

    def beat(self, node: str = "") -> None:
        self.store.registry.heartbeat(node or self.chance.choice(NODES), {"slots": 2})

    def roll(self) -> None:
        self.store.registry.pulse(0, 2**40)

    def drop_workspace(self) -> None:
        self._seldom()
        self.store.workspaces.drop(self.version.id)

    def pack(self) -> None:
        x = self.job(State.COMPLETED, State.FAILED, State.CANCELLED)
        raw = self.store.retention.raw(x.id)
        if raw is not None:
            self.store.retention.pack(x.id, raw, packing.row(raw.fields))

    def delete(self) -> None:
        """Those that are being deleted go on to be, ended or not."""
        x = self.job() if self.chance.random() < 0.5 else self._one(self.jobs)
        self.store.retention.delete(x.id)
        assert invariants.problems(self.store) == []
        if self.store.retention.expire(x.id, job_ms=1, idle=False) == "expiring":
            self.store.retention.forget(x.id)

    def forget(self) -> None:
        x = self.job(State.COMPLETED, State.FAILED, State.CANCELLED)
        idle = self.chance.random() < 0.5
        if self.store.retention.expire(x.id, job_ms=1, idle=idle) == "expiring":
            assert invariants.problems(self.store) == []
            self.store.retention.forget(x.id)


def workspace() -> model.Workspace:
    return model.Workspace("ws_1", "default", "w", 0, 1, "00", "workspaces/ws_1", 0)
