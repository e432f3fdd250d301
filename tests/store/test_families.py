"""Tasks that are children of others: who may run, who waits for whom. On a real server."""

from __future__ import annotations

from typing import Any

import pytest

from knify import conflicts, errors, families, ids, model
from knify.lifecycle import SandboxState, State
from knify.store import executionkeys, keys, open
from tests import factories
from tests.store import invariants
from tests.store.nodes import Node, waiting

PATH = (State.STAGING, State.PROVISIONING, State.READY, State.RUNNING, State.COMPLETING)


def task(store: open.Store, parent: model.Execution | None = None, **fields: Any) -> Any:
    """A submitted task; `children` is what it says of them."""
    request = {"job_type": "command_task", "command": "true"}
    if "children" in fields:
        request |= {"children": fields.pop("children")}
    new = ids.new("task")
    x = factories.execution(
        id=new, task_id=new, request=request, child_of=parent.id if parent else None, **fields
    )
    store.executions.submit(x, factories.sandbox(id=x.sandbox_id, tenant=x.tenant))
    return x


def completing(store: open.Store, node: Node, x: model.Execution) -> model.Execution:
    x = node.run(x)
    for state in PATH:
        x = store.executions.move(x, state).execution
    return x


def parked(store: open.Store, x: model.Execution) -> model.Execution:
    assert store.families.park(x, "waits") is not None
    return store.executions.get(x.id, tenant=x.tenant)


def test_no_more_children_run_than_their_parent_lets(store: open.Store) -> None:
    node = Node(store)
    parent = task(store, children={"max_concurrent": 2})
    a, b, c, d = (task(store, parent) for _ in range(4))
    runs = [node.run(a), node.run(b)]

    assert node.claim(c).verdict == node.claim(d).verdict == "family"
    assert waiting(store, c)[1] == "its parent task lets 2 of its children run at a time"
    assert node.finish(runs[1]) == (c.id,)
    assert node.claim(c).verdict == "claimed"
    assert node.claim(d).verdict == "family"
    assert invariants.problems(store) == []


def test_a_child_that_is_taken_over_or_tried_again_needs_no_second_place(store: open.Store) -> None:
    node = Node(store)
    parent = task(store, children={"max_concurrent": 1})
    x = node.run(task(store, parent))

    assert node.claim(x, dead="n/b/1/1").verdict == "claimed"
    store.executions.release(store.executions.get(x.id, tenant="default"))

    assert node.claim(x).verdict == "claimed"
    assert store.client.smembers(executionkeys.working_children(parent.id)) == {x.id}


def test_children_that_wait_for_their_siblings_hold_up_nobody_in_the_line(
    store: open.Store,
) -> None:
    node = Node(store, slots=1)
    parent = task(store, children={"max_concurrent": 1})
    other, a, b, c = task(store), task(store, parent), task(store, parent), task(store)
    x = node.run(other)
    assert {node.claim(one).verdict for one in (a, b, c)} == {"full"}

    node.finish(x)
    x = node.run(a)
    node.facts["slots"] = 2
    node.beat()
    claim = node.claim(b)

    assert (claim.verdict, claim.next) == ("family", c.id)
    assert node.claim(c).verdict == "claimed"
    assert set(node.finish(x)) >= {b.id}
    assert node.claim(b).verdict == "claimed"
    assert invariants.problems(store) == []


def test_who_waits_for_its_children_holds_neither_lease_nor_slot(store: open.Store) -> None:
    node = Node(store, slots=1)
    parent = task(store, children={"wait_for_children": True})
    child = task(store, parent)
    x = completing(store, node, parent)
    assert node.claim(child).verdict == "full"

    hints = store.families.park(x, "waits for 1 child")

    assert hints == [child.id]
    x = store.executions.get(parent.id, tenant="default")
    assert (x.owner, x.parked_at is not None, node.active) == (None, True, set())
    assert set(node.used.values()) == {0}
    assert node.finish(node.run(child)) == (parent.id,)
    x = node.run(x)  # needs no slot
    assert (store.families.park(x, "waits"), node.active) == (None, set())
    store.executions.move(x, State.COMPLETED)
    assert invariants.problems(store) == []


def test_who_is_parked_ends_on_a_node_that_is_full(store: open.Store) -> None:
    node = Node(store, slots=1)
    parent = task(store, children={"wait_for_children": True})
    child = task(store, parent)
    parked(store, completing(store, node, parent))
    node.finish(node.run(child))
    node.run(task(store))

    assert node.claim(parent).verdict == "claimed"


def test_without_open_children_nobody_is_parked(store: open.Store) -> None:
    x = completing(store, Node(store), task(store, children={"wait_for_children": True}))

    assert store.families.park(x, "waits") is None
    assert store.executions.get(x.id, tenant="default").owner is not None


def test_who_lost_its_lease_parks_nothing(store: open.Store) -> None:
    node = Node(store)
    parent = task(store, children={"wait_for_children": True})
    task(store, parent)
    x = completing(store, node, parent)
    node.claim(x, dead="n/b/1/1")

    with pytest.raises(errors.LeaseLost):
        store.families.park(x, "waits")


@pytest.mark.parametrize("how", ["ended", "cancelled", "job", "foreign", "unknown"])
def test_only_a_task_that_goes_on_has_children(store: open.Store, how: str) -> None:
    parent = task(store, **({"tenant": "other"} if how == "foreign" else {}))
    wanted: type[errors.KnifyError] = conflicts.ParentEnded
    if how == "ended":
        Node(store).finish(Node(store).run(parent))
    elif how == "cancelled":
        store.executions.cancel(Node(store).run(parent).id, "enough", {"t": 1, "e": []})
    else:
        wanted = errors.NotFound
        if how == "job":
            store.client.hdel(keys.execution(parent.id), "task_id")
        if how == "unknown":
            parent = parent.evolve(id="task_unknown")

    with pytest.raises(wanted):
        task(store, parent)
    assert not store.client.exists(executionkeys.open_children(parent.id))


def test_there_is_a_most_of_open_children(store: open.Store) -> None:
    parent = task(store)
    task(store, parent)
    crowd = {f"task_{n}": n for n in range(families.MOST - 1)}
    store.client.zadd(executionkeys.open_children(parent.id), crowd)

    with pytest.raises(conflicts.TooManyChildren):
        task(store, parent)


def test_cancelling_a_parent_notes_its_children_until_all_were_asked(store: open.Store) -> None:
    parent = task(store)
    child = task(store, parent)
    final = {"t": 1, "e": []}

    store.executions.cancel(parent.id, "enough", final)

    assert store.families.disbanding(10) == [parent.id]
    assert store.families.open(parent.id, 10) == [child.id]
    store.executions.cancel(child.id, "its parent", final)
    store.families.disbanded(parent.id)
    assert store.families.open(parent.id, 10) == store.families.disbanding(10) == []
    assert invariants.problems(store) == []


def test_children_are_found_by_their_parent_also_when_it_is_gone(store: open.Store) -> None:
    parent, other = task(store), task(store)
    older, newer = task(store, parent), task(store, parent)
    task(store, other)

    found = store.listing.page("default", parent=parent.id)
    pending = store.tasks.page("default", states=["pending"], parent=parent.id)
    oldest = store.tasks.page("default", parent=parent.id, ascending=True)

    assert [x.id for x in found.executions] == [newer.id, older.id]
    assert [x.id for x in pending.tasks] == [newer.id, older.id]
    assert [x.id for x in oldest.tasks] == [older.id, newer.id]
    assert store.tasks.page("other", parent=parent.id).total == 0
    assert store.families.names([parent.id, "task_gone"]) == {parent.id: parent.id}
    store.retention.delete(newer.id)
    assert [x.id for x in store.listing.page("default", parent=parent.id).executions] == [older.id]
    assert invariants.problems(store) == []


def test_the_sandbox_of_who_is_parked_is_nobodys_to_archive(store: open.Store) -> None:
    node = Node(store)
    parent = task(store, children={"wait_for_children": True})
    task(store, parent)
    x = node.make(completing(store, node, parent))
    x = store.executions.note(x, "", "", sandbox={"state": SandboxState.PAUSED})

    parked(store, x)

    assert store.client.zscore("knify:node:n:paused", x.sandbox_id) is None
    assert invariants.problems(store) == []
