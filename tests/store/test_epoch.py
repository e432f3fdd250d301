"""A store that was put back to an older state: noticed once, and old fences are worth nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify import epoch, errors, settings
from knify.lifecycle import SandboxState, State
from knify.model import EPOCH_FENCE as EPOCH
from knify.store import keys, open
from tests.parts.rollback import Snapshot
from tests.store.test_executions import claim, claimed, stages, submitted


def process(store: open.Store, home: Path) -> epoch.Epoch:
    home.mkdir(exist_ok=True)
    return epoch.Epoch(store.registry, settings.load({"KNIFY_HOME": str(home)}))


def settle(store: open.Store) -> None:
    """The time in which nodes say what they hold has passed."""
    store.client.set(keys.ROLLED_AT, 1)


def test_a_store_that_only_goes_on_is_never_taken_for_an_older_one(
    store: open.Store, home: Path
) -> None:
    one, other = process(store, home), process(store, home)

    looks = [look for _ in range(5) for look in (one.look(), other.look())]
    one.save()

    assert not any(looks)
    assert not process(store, home).look()
    assert store.client.get(keys.EPOCH) is None


def test_a_rollback_is_noticed_once_and_by_everybody(
    store: open.Store, redis_url: str, tmp_path: Path
) -> None:
    nodes = [process(store, tmp_path / str(n)) for n in range(4)]
    before = Snapshot(redis_url)
    assert [node.look() for node in nodes] == [False] * 4

    before.put_back()

    assert [node.look() for node in nodes] == [True] * 4
    assert [node.look() for node in nodes] == [False] * 4
    assert store.client.get(keys.EPOCH) == "1"


def test_an_emptied_store_is_noticed_by_a_process_that_starts_afterwards(
    store: open.Store, home: Path
) -> None:
    first = process(store, home)
    first.look()
    first.save()

    store.client.flushdb()

    assert process(store, home).look()
    assert store.registry.rolled_back_at() > 0


def test_a_second_rollback_beyond_the_first_one_is_a_new_epoch(
    store: open.Store, redis_url: str, home: Path
) -> None:
    node, before = process(store, home), Snapshot(redis_url)
    node.look()
    before.put_back()
    node.look()

    before.put_back()

    assert node.look()
    assert store.client.get(keys.EPOCH) == "2"


def test_a_damaged_file_of_what_was_seen_costs_knowledge_only(
    store: open.Store, home: Path
) -> None:
    process(store, home).look()
    (home / "store.seen").write_text("{")

    assert not process(store, home).look()


def test_a_fence_of_before_a_rollback_never_equals_one_of_after(
    store: open.Store, redis_url: str, home: Path
) -> None:
    node, x = process(store, home), submitted(store)
    node.look()
    before = Snapshot(redis_url)
    node.look()
    old = claimed(store, x)
    old = store.executions.move(old, State.STAGING).execution

    before.put_back()
    node.look()
    settle(store)
    new = claimed(store, x, owner="n/b/2/2")

    assert new.fence == EPOCH + 1
    assert store.executions.renew([(x.id, old.fence)], lease_ms=1000) == ["lost"]
    for write in (
        lambda: store.executions.move(old, State.PROVISIONING),
        lambda: store.executions.append(old, ["{}"], lines=1, out=1, err=0),
        lambda: store.executions.release(old),
    ):
        with pytest.raises(errors.LeaseLost):
            write()
    assert stages(store, x) == ["created"]  # nobody had claimed it, as far as Redis knows


def test_a_claimed_execution_says_in_its_history_that_redis_was_put_back(
    store: open.Store, redis_url: str, home: Path
) -> None:
    node, x = process(store, home), submitted(store)
    store.executions.move(claimed(store, x), State.STAGING)
    node.look()
    before = Snapshot(redis_url)
    node.look()

    before.put_back()
    node.look()
    settle(store)
    claimed(store, x, owner="n/b/2/2", dead="n/b/1/1")
    claimed(store, x, owner="n/b/3/3", dead="n/b/2/2")

    assert stages(store, x) == ["created", "staging", "store_rolled_back"]


def test_what_no_node_has_claimed_to_hold_waits_for_a_moment_after_a_rollback(
    store: open.Store, redis_url: str, home: Path
) -> None:
    node, held, lost = process(store, home), submitted(store), submitted(store)
    before = Snapshot(redis_url)
    node.look()
    before.put_back()
    node.look()
    fresh = submitted(store)

    assert store.sandboxes.adopt("n", [held.sandbox_id or "", "sandbox_unknown"]) == [
        held.sandbox_id
    ]

    store.client.hset(keys.execution(fresh.id), "created_at", store.registry.now_ms() + 1)
    assert claim(store, held, node="m").verdict == "elsewhere"
    assert claim(store, held).verdict == "claimed"
    assert claim(store, lost).verdict == "turn"
    assert claim(store, fresh).verdict == "claimed"


def test_a_nodes_sandboxes_are_listed_from_the_first_to_the_last_moment(store: open.Store) -> None:
    x = claimed(store, submitted(store))
    sandbox_id = x.sandbox_id or ""

    def here() -> list[str]:
        return [s.id for s in store.sandboxes.on_node("n", 0)[1]]

    assert here() == []
    store.executions.note(x, "", "", sandbox={"node": "n", "state": SandboxState.ACTIVE})
    assert here() == [sandbox_id]
    store.executions.note(x, "", "", sandbox={"node": "m"})
    assert here() == []
    store.executions.note(x, "", "", sandbox={"node": "n"})
    for state in (State.STAGING, State.FAILED):
        x = store.executions.move(x, state).execution
    store.sandboxes.retire(sandbox_id)
    assert here() == []


def test_a_name_belongs_to_the_machine_that_beats(store: open.Store) -> None:
    heartbeat, take = store.registry.heartbeat, store.registry.take_name
    facts = {"time": 1}

    def beat(node: str, facts: dict[str, int], machine: str) -> dict[str, int] | None:
        return heartbeat(node, facts, machine=machine).taken

    assert take("n", "one") is None
    assert beat("n", facts, machine="one") is None
    assert take("n", "other") == facts
    assert beat("n", {"time": 2}, machine="other") == facts
    assert beat("n", {"time": 3}, machine="one") is None  # another worker of the machine too
    assert store.registry.nodes() == {"n": {"time": 3}}

    store.client.delete(f"{keys.node('n')}:beat")  # its last heartbeat has run out
    assert take("n", "other") is None
