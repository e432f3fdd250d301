"""Nodes, jobs and clocks for the tests of admission, on a real server."""

from __future__ import annotations

from typing import Any

from knify import model
from knify.lifecycle import SandboxState, State
from knify.store import keys, open
from knify.store.replies import Claim, Submitted
from tests import factories

GIB = 1024**3
KINDS = ("cpus", "memory", "disk")


class Node:
    """A node that says what it can hold, and works by itself."""

    def __init__(self, store: open.Store, name: str = "n", **facts: Any) -> None:
        self.store, self.name = store, name
        self.facts: dict[str, Any] = {"slots": 100, "cpus": 100, "cpu_overcommit": 1} | facts
        self.beat()

    def beat(self, *, patience_ms: int = 600_000, **facts: Any) -> str:
        self.facts |= facts
        now, _ = self.store.client.time()
        return self.store.registry.heartbeat(
            self.name, self.facts, now * 1000, patience_ms=patience_ms
        ).woken

    def claim(self, x: model.Execution, **options: Any) -> Claim:
        wanted: dict[str, Any] = {
            "owner": f"{self.name}/b/1/1",
            "node": self.name,
            "lease_ms": 60_000,
            "slots": self.facts["slots"],
        }
        return self.store.executions.claim(x.id, **(wanted | options))

    def run(self, x: model.Execution) -> model.Execution:
        """Claim what must be free to be claimed."""
        claim = self.claim(x)
        assert claim.execution is not None, claim
        return claim.execution

    def finish(self, x: model.Execution) -> tuple[str, ...]:
        """End a claimed execution; the ids that it set free."""
        failed = self.store.executions.move(x, State.FAILED, sandbox=None)
        return failed.hints

    def make(self, x: model.Execution) -> model.Execution:
        """Give a claimed execution's sandbox to this node."""
        sandbox = {"state": SandboxState.ACTIVE, "node": self.name}
        return self.store.executions.note(x, "", "", sandbox=sandbox)

    @property
    def active(self) -> set[str]:
        return {x.id for x in self.store.executions.active(self.name)}

    @property
    def used(self) -> dict[str, int]:
        found = self.store.client.hgetall(keys.used(self.name))
        return {kind: int(found.get(kind, 0)) for kind in KINDS}

    @property
    def summed(self) -> dict[str, int]:
        """What the counters must be."""
        found = [x.spec.resources for x in self.store.executions.active(self.name)]
        return {
            "cpus": sum(round(r.cpus * 1000) for r in found),
            "memory": sum(r.memory for r in found),
            "disk": sum(r.disk for r in found),
        }


def job(store: open.Store, tenant: str = "default", **fields: Any) -> model.Execution:
    """A submitted job; `fields` are its resources, `priority` and `parent`."""
    x, sandbox = _new(tenant, **fields)
    store.executions.submit(x, sandbox)
    return x


def submit(store: open.Store, tenant: str = "default", **fields: Any) -> Submitted:
    """The same, and what the submission was told."""
    return store.executions.submit(*_new(tenant, **fields))


def named(store: open.Store, submitted: Submitted) -> model.Execution:
    """The job that it made, of the tenant `default`."""
    return store.executions.get(submitted.answer.id, tenant="default")


def _new(
    tenant: str,
    parent: model.Execution | None = None,
    priority: int = 0,
    **resources: Any,
) -> tuple[model.Execution, model.Sandbox | None]:
    wanted = model.Resources(**({"cpus": 1, "memory": GIB, "disk": GIB} | resources))
    sandbox = None if parent else factories.sandbox(tenant=tenant, resources=wanted)
    x = factories.execution(
        tenant=tenant,
        sandbox_id=sandbox.id if sandbox else parent and parent.sandbox_id,
        spec=factories.spec(resources=wanted, priority=priority),
    )
    return x, sandbox


def position(store: open.Store, x: model.Execution) -> int:
    """Where it stands."""
    return waiting(store, x)[0]


def waiting(store: open.Store, x: model.Execution) -> tuple[int, str]:
    """Its position, and why it waits."""
    found = store.executions.get(x.id, tenant=x.tenant)
    shown = store.admission.waiting([found], store.registry.nodes)[x.id]
    return shown.position, shown.reason
