"""What Podman has is held against Redis, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from knify import clock, hints, model, settings, sweep
from knify import core as core_module
from knify.lifecycle import SandboxState
from knify.repair import Repair
from knify.sandbox import base
from knify.store import codec, keys, open
from tests import factories

HOUR = 3_600_000


@pytest.fixture
def core(store: open.Store, redis_url: str, tmp_path: Path) -> core_module.Core:
    environ = {"KNIFY_HOME": str(tmp_path), "KNIFY_REDIS_URL": redis_url}
    return core_module.connect(settings.load(environ), hints.RecordedHints())


@pytest.fixture
def mend(core: core_module.Core) -> Repair:
    return Repair(core, "n", 24)


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


# Archives that Redis, put back to before their commit, does not know to be the sandbox.


def archive(core: core_module.Core, sandbox: model.Sandbox, n: int) -> str:
    return core.sealed.put(f"sandboxes/{sandbox.id}/{n}.tar.age", [b"tar"]).key


def put_back(store: open.Store) -> None:
    store.client.set(keys.ROLLED_AT, store.registry.now_ms())


def test_what_was_archived_behind_the_back_of_redis_is_an_archive_and_not_lost(
    core: core_module.Core, mend: Repair
) -> None:
    store = core.store
    before_begin, before_commit = (known(store, SandboxState.PAUSED) for _ in range(2))
    old, new = archive(core, before_begin, 1), archive(core, before_begin, 2)
    key = archive(core, before_commit, 1)
    record = {"archiving": key, "archiving_until": 9, "archiver": "x"}
    store.client.hset(keys.sandbox(before_commit.id), mapping=record)
    store.client.zadd(keys.OBJECT_REMOVALS, {key: 9})
    store.client.hset(keys.sandbox(before_begin.id), "archive", old)
    for sandbox in (before_begin, before_commit):
        store.client.zadd(keys.paused("n"), {sandbox.id: 1})
    put_back(store)

    assert mend.lose(mend.expected(), []) == []

    for sandbox, wanted in ((before_begin, new), (before_commit, key)):
        found = store.sandboxes.find(sandbox.id)
        assert found is not None
        assert (found.state, found.node, found.archive) == (SandboxState.ARCHIVED, None, wanted)
        assert found.archiving is None
    assert store.sandboxes.paused("n") == []
    assert store.sandboxes.old_objects(2**53) == [old]


def test_an_archive_that_later_turns_outdated_does_not_come_back(
    core: core_module.Core, mend: Repair
) -> None:
    given_up, restored = (known(core.store, SandboxState.PAUSED) for _ in range(2))
    archive(core, given_up, 1)
    key = archive(core, restored, 1)
    core.store.client.hset(keys.sandbox(restored.id), "archive", key)

    assert sorted(mend.lose(mend.expected(), [])) == sorted([given_up.id, restored.id])


def test_no_object_is_deleted_while_its_record_names_it_or_soon_after_a_rollback(
    core: core_module.Core,
) -> None:
    store = core.store
    sandbox = known(store, SandboxState.PAUSED)
    becoming, whole, old = (archive(core, sandbox, n) for n in (3, 2, 1))
    record = {"archive": whole, "archiving": becoming}
    store.client.hset(keys.sandbox(sandbox.id), mapping=record)
    store.client.zadd(keys.OBJECT_REMOVALS, dict.fromkeys((becoming, whole, old), 1))

    def left() -> list[str]:
        sweep.sweep(core)
        return sorted(listed.key for listed in core.objects.list("sandboxes"))

    put_back(store)
    assert left() == [old, whole, becoming]
    store.client.set(keys.ROLLED_AT, 1)
    assert left() == [whole, becoming]
    assert store.sandboxes.old_objects(2**53) == [becoming]  # looked at again
    store.client.hset(keys.sandbox(sandbox.id), "state", "deleted")
    store.client.zadd(keys.OBJECT_REMOVALS, dict.fromkeys((becoming, whole), 1))
    assert left() == []


def test_the_number_of_an_archive_never_comes_again_after_a_rollback(store: open.Store) -> None:
    sandbox = known(store, SandboxState.PAUSED)

    def begun() -> str:
        return store.sandboxes.begin_archive(sandbox.id, node="n", owner="o", limit_ms=1)[1]

    assert begun() == f"sandboxes/{sandbox.id}/1.tar.age"
    store.client.set(keys.EPOCH, 2)
    assert begun() == f"sandboxes/{sandbox.id}/{2**33 + 1}.tar.age"
    assert begun() == f"sandboxes/{sandbox.id}/{2**33 + 2}.tar.age"


def test_a_lost_sandbox_stands_in_no_list_of_its_node(store: open.Store, mend: Repair) -> None:
    sandbox = known(store, SandboxState.PAUSED)
    store.client.hset(keys.sandbox(sandbox.id), "hot_until", 2**50)
    store.sandboxes.shelve([sandbox.id])

    assert mend.lose(mend.expected(), []) == [sandbox.id]

    assert store.sandboxes.paused("n") == store.sandboxes.hot("n") == []
    assert store.client.scard(keys.located("n")) == 0


def test_what_runs_without_a_job_is_not_stopped_when_a_turn_came_meanwhile(
    store: open.Store, mend: Repair
) -> None:
    sandbox = known(store, SandboxState.ACTIVE)
    hold = {"node": "n", "owner": "n/b/1/1", "ms": 9_000, "purpose": "stop"}
    assert mend.wrong([listed(sandbox.id)]).stop == [sandbox.id]

    assert store.sandboxes.hold(sandbox.id, **hold)[0] == "held"
    store.sandboxes.unhold(sandbox.id, node="n", owner="n/b/1/1", done="stopped")
    assert store.sandboxes.hold("sandbox_unknown", **hold)[0] == "held"
    store.client.rpush(keys.turns(sandbox.id), "job")
    assert store.sandboxes.hold(sandbox.id, **hold)[0] == "refused"


def test_what_was_restored_behind_the_back_of_redis_is_what_its_node_has(
    store: open.Store, mend: Repair
) -> None:
    restored, leftover, settled = (known(store, SandboxState.ARCHIVED) for _ in range(3))
    for sandbox in (restored, leftover, settled):
        store.client.hdel(keys.sandbox(sandbox.id), "node")
        store.client.srem(keys.located("n"), sandbox.id)
    store.client.sadd(keys.removals("n"), leftover.id)
    put_back(store)
    store.client.hset(keys.sandbox(settled.id), "state_changed_at", 2**50)

    assert mend.adopt([listed(s.id) for s in (restored, leftover, settled)]) == [restored.id]

    found = store.sandboxes.find(restored.id)
    assert found is not None
    assert (found.state, found.node) == (SandboxState.PAUSED, "n")
    assert [name for name, _ in store.sandboxes.paused("n")] == [restored.id]
