"""What Podman has is held against Redis, both ways."""

from __future__ import annotations

from typing import Any

import pytest

from knify import clock, model
from knify.lifecycle import SandboxState
from knify.repair import Repair
from knify.sandbox import base
from knify.store import codec, keys, open
from tests import factories

HOUR = 3_600_000


@pytest.fixture
def mend(store: open.Store) -> Repair:
    return Repair(store, "n", 24)


def known(store: open.Store, state: SandboxState, *turns: str, node: str = "n") -> model.Sandbox:
    """A sandbox's record."""
    sandbox = factories.sandbox(state=state, node=node)
    store.client.hset(keys.sandbox(sandbox.id), mapping=codec.sandbox_fields(sandbox))
    store.client.sadd(keys.located(node), sandbox.id)
    if turns:
        store.client.rpush(keys.turns(sandbox.id), *turns)
    return sandbox


def listed(sandbox_id: str, kind: str = "container", **fields: Any) -> base.Listed:
    made = {"running": kind == "container", "created_at": 1} | fields
    return base.Listed(kind, f"knify-{sandbox_id}", sandbox_id, **made)


def test_what_runs_without_a_job_is_stopped_and_what_is_deleted_is_removed(
    store: open.Store, mend: Repair
) -> None:
    idle, busy, young, gone = (
        known(store, SandboxState.ACTIVE),
        known(store, SandboxState.ACTIVE, "job"),
        known(store, SandboxState.ACTIVE),
        known(store, SandboxState.DELETED),
    )
    rows = [listed(s.id) for s in (idle, busy, gone)] + [
        listed(gone.id, "volume"),
        listed(young.id, created_at=clock.now_ms()),
    ]

    wrong = mend.wrong(rows)

    assert (wrong.stop, wrong.remove, wrong.unknown) == ([idle.id], [gone.id], {})


def test_what_redis_does_not_know_is_stopped_noted_and_kept_for_its_time(
    store: open.Store, mend: Repair
) -> None:
    rows = [listed("sandbox_x"), listed("sandbox_x", "volume", created_at=5)]

    wrong = mend.wrong(rows)
    assert wrong.stop == ["sandbox_x"]
    assert mend.orphans(wrong.unknown) == []
    assert mend.orphans(wrong.unknown) == []

    (noted,) = store.sandboxes.orphans("n")
    assert (noted.id, noted.kinds, noted.created_at) == ("sandbox_x", ("container", "volume"), 1)
    _age(store, noted.id, hours=25)
    assert [orphan.id for orphan in mend.orphans(wrong.unknown)] == ["sandbox_x"]
    assert mend.orphans({}) == []
    assert store.sandboxes.orphans("n") == []


def _age(store: open.Store, sandbox_id: str, hours: float) -> None:
    import json

    (noted,) = (o for o in store.sandboxes.orphans("n") if o.id == sandbox_id)
    then = int(noted.found_at - hours * HOUR)
    row = {"id": noted.id, "node": "n", "kinds": noted.kinds, "created_at": 1, "found_at": then}
    store.client.hset(keys.orphans("n"), sandbox_id, json.dumps(row))


def test_an_orphan_waits_anew_when_redis_was_put_back_since_it_was_found(
    store: open.Store, mend: Repair
) -> None:
    wrong = mend.wrong([listed("sandbox_x")])
    mend.orphans(wrong.unknown)
    _age(store, "sandbox_x", hours=100)
    store.client.set(keys.ROLLED_AT, store.registry.now_ms() - 23 * HOUR)

    assert mend.orphans(wrong.unknown) == []

    store.client.set(keys.ROLLED_AT, store.registry.now_ms() - 25 * HOUR)
    assert len(mend.orphans(wrong.unknown)) == 1


def test_a_sandbox_that_podman_does_not_have_any_more_is_lost_with_a_reason(
    store: open.Store, mend: Repair
) -> None:
    there, missing = known(store, SandboxState.PAUSED), known(store, SandboxState.PAUSED)
    used, elsewhere = known(store, SandboxState.ACTIVE, "job"), known(store, SandboxState.PAUSED)
    store.client.hset(keys.sandbox(elsewhere.id), "node", "m")
    new = known(store, SandboxState.CREATING)

    lost = mend.lose(mend.expected(), [listed(there.id, "volume")])

    assert lost == [missing.id]
    found = store.sandboxes.find(missing.id)
    assert found is not None
    assert found.state is SandboxState.LOST
    assert "neither container nor volumes" in (found.reason or "")
    states = [s.state.value for s in store.sandboxes.get_many([used.id, elsewhere.id, new.id])]
    assert states == ["active", "paused", "creating"]
    assert mend.lose(mend.expected(), [listed(there.id, "volume")]) == []


def test_one_that_moved_while_podman_was_asked_is_not_lost(store: open.Store, mend: Repair) -> None:
    sandbox = known(store, SandboxState.PAUSED)
    expected = mend.expected()
    store.client.hset(keys.sandbox(sandbox.id), "state_changed_at", 2)

    assert mend.lose(expected, []) == []


def test_all_of_a_nodes_sandboxes_are_looked_at_part_by_part(
    store: open.Store, mend: Repair
) -> None:
    made = {known(store, SandboxState.PAUSED).id for _ in range(1200)}
    parts = []
    while not parts or mend._cursor:
        parts.append([sandbox.id for sandbox in mend.expected()])

    assert len(parts) > 1
    assert {sandbox_id for part in parts for sandbox_id in part} == made
