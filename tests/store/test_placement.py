"""Where a job is placed: cordoned nodes, images, workspaces at hand, room. On a real server."""

from __future__ import annotations

import pytest

from knify import model
from knify.store import keys, open
from tests import factories
from tests.store.nodes import GIB, Node, job, named, submit, waiting

IMAGE = "localhost/heavy:1"


def job_of(store: open.Store, **sandbox: str) -> model.Execution:
    box = factories.sandbox(**sandbox)
    x = factories.execution(sandbox_id=box.id)
    if box.workspace_id:
        store.client.hset(f"knify:w:{box.workspace_id}", "tenant", box.tenant)
    store.executions.submit(x, box)
    return x


def test_a_cordoned_node_takes_nothing_new_and_keeps_what_it_has(store: open.Store) -> None:
    node = Node(store)
    x = node.make(node.run(job(store)))
    store.registry.cordon("n", True)
    new, turn = job(store), job(store, parent=x)

    assert node.claim(new).verdict == "draining"
    assert "cordoned" in waiting(store, new)[1]
    node.finish(x)
    assert node.claim(turn).verdict == "claimed"  # its sandbox lives there
    assert (store.registry.draining(), store.registry.closed()) == ({}, {"n"})

    assert store.registry.cordon("n", False) == [new.id]
    assert node.claim(new).verdict == "claimed"


def test_a_node_without_the_image_passes_the_job_to_one_that_has_it(store: open.Store) -> None:
    plain, heavy = Node(store, "n"), Node(store, "m", images=[IMAGE])
    x = job_of(store, image=IMAGE)

    assert (plain.claim(x).verdict, plain.claim(x).other) == ("full", "m")
    assert heavy.claim(x).verdict == "claimed"


def test_one_that_waits_for_its_image_lets_others_pass(store: open.Store) -> None:
    plain, heavy = Node(store, "n", slots=1), Node(store, "m", images=[IMAGE], slots=1)
    first = heavy.run(job_of(store, image=IMAGE))
    second = job_of(store, image=IMAGE)

    assert (plain.claim(second).verdict, plain.claim(second).other) == ("full", "")
    assert plain.claim(job(store)).verdict == "claimed"
    assert heavy.finish(first) == (second.id,)
    assert heavy.claim(second).verdict == "claimed"


def test_a_node_that_comes_to_have_the_image_is_told_who_waits(store: open.Store) -> None:
    plain, heavy = Node(store, "n"), Node(store, "m", images=[IMAGE], slots=1)
    heavy.run(job_of(store, image=IMAGE))
    second = job_of(store, image=IMAGE)
    plain.claim(second)

    assert plain.beat(images=[IMAGE]) == second.id
    assert plain.claim(second).verdict == "claimed"


def test_an_image_that_no_living_node_has_keeps_nobody_waiting(store: open.Store) -> None:
    plain, heavy = Node(store, "n"), Node(store, "m", images=[IMAGE])
    x = job_of(store, image=IMAGE)
    heavy.beat(images=[])

    assert plain.claim(x).verdict == "claimed"  # and its step says what is missing


def test_a_job_goes_to_the_node_with_more_room_and_wanders_no_farther(store: open.Store) -> None:
    laden = Node(store, "n", slots=4)
    for _ in range(2):
        laden.run(job(store))
    idle = Node(store, "m", slots=4)
    x, other = job(store), job(store)

    assert (laden.claim(x).verdict, laden.claim(x).verdict) == ("full", "claimed")
    assert laden.claim(other).other == "m"
    assert idle.claim(other).verdict == "claimed"


def test_a_job_goes_where_its_workspace_is_unpacked_while_there_is_room(store: open.Store) -> None:
    near = Node(store, "m", slots=4)
    near.run(job(store))
    here = Node(store, "n", slots=4)
    store.registry.unpacked("m", "workspace_1")
    x, second = (job_of(store, workspace_id="workspace_1") for _ in range(2))

    assert here.claim(x).other == "m"
    assert near.claim(x).verdict == "claimed"
    for n in range(2):
        near.claim(job(store), slots=3 + n)
    assert here.claim(second).verdict == "claimed"  # near, but laden


@pytest.mark.parametrize("closed", ["cordon", "drain", "silence"])
def test_no_job_is_passed_to_a_node_that_takes_none(store: open.Store, closed: str) -> None:
    laden = Node(store, "n", memory=4 * GIB)
    for _ in range(2):
        laden.run(job(store))
    idle = Node(store, "m", memory=4 * GIB)
    {
        "cordon": lambda: store.registry.cordon("m", True),
        "drain": lambda: store.registry.drain("m", True),
        "silence": lambda: store.client.delete(f"{keys.node('m')}:beat"),
    }[closed]()

    assert laden.claim(job(store)).verdict == "claimed"
    assert idle.active == set()


def test_while_others_wait_a_newcomer_stands_behind_them_and_is_looked_at_by_nobody(
    store: open.Store,
) -> None:
    node = Node(store, slots=1)
    running = node.run(job(store))
    first = job(store)
    assert node.claim(first).verdict == "full"

    look = submit(store).look

    assert look is None
    assert node.finish(running) == (first.id,)


def test_a_newcomer_is_sent_to_the_node_that_has_room_for_it_alone(store: open.Store) -> None:
    node, other = Node(store, slots=1), Node(store, "m", slots=9, memory=2 * GIB)
    node.run(job(store))
    large = job(store, memory=4 * GIB)
    assert node.claim(large).verdict == "full"

    submitted = submit(store, memory=GIB)

    assert submitted.look == "m"
    assert other.claim(named(store, submitted)).verdict == "claimed"


def test_a_newcomer_behind_more_who_do_not_fit_than_are_seen_is_still_sent_where_it_fits(
    store: open.Store,
) -> None:
    node = Node(store, memory=2 * GIB)
    for _ in range(20):
        assert node.claim(job(store, memory=4 * GIB)).verdict == "full"

    assert submit(store, memory=GIB).look == "n"


def test_the_next_turn_of_a_busy_sandbox_is_looked_at_when_the_one_before_it_ends(
    store: open.Store,
) -> None:
    node = Node(store)
    x = node.make(node.run(job(store)))

    turn = submit(store, parent=x)

    assert turn.look is None
    assert node.finish(x) == (turn.answer.id,)
    assert submit(store, parent=node.run(named(store, turn))).look is None


def test_a_long_line_costs_a_sweep_nothing_and_a_heartbeat_brings_the_first(
    store: open.Store,
) -> None:
    node = Node(store, slots=0)
    waiting_ones = [job(store) for _ in range(30)]
    for x in waiting_ones:
        assert node.claim(x).verdict == "full"
    for x in waiting_ones:  # a minute later
        store.client.zadd(keys.DUE, {x.id: 1})

    assert store.executions.due(again_ms=0, most=2) == []
    assert store.client.zcount(keys.DUE, 0, 1) == 10
    assert store.executions.due(again_ms=0) == []

    assert node.beat(slots=5) == waiting_ones[0].id
    assert store.executions.due(again_ms=0) == [(waiting_ones[0].id, "")]  # its hint may be lost
    assert node.claim(waiting_ones[0]).next == waiting_ones[1].id


def test_one_that_waits_for_a_dead_node_is_seen_by_the_sweep(store: open.Store) -> None:
    node = Node(store, slots=1)
    x = node.make(node.run(job(store)))
    turn = job(store, parent=x)
    node.finish(x)
    node.run(job(store))
    assert node.claim(turn).verdict == "full"
    store.client.zadd(keys.DUE, {turn.id: 1})
    assert store.executions.due(again_ms=0) == []

    store.client.delete(f"{keys.node('n')}:beat")
    store.client.zadd(keys.DUE, {turn.id: 1})

    assert store.executions.due(again_ms=0) == [(turn.id, "n")]


# Behind more than one look takes in


def test_who_fits_is_found_behind_all_who_do_not(store: open.Store) -> None:
    node = Node(store, memory=4 * GIB, slots=10)
    node.run(job(store, memory=GIB))
    large = node.run(job(store, memory=3 * GIB))
    for _ in range(16):
        assert node.claim(job(store, memory=4 * GIB)).verdict == "full"
    small = submit(store, memory=2 * GIB)

    assert small.look is None
    assert node.finish(large) == (small.answer.id,)
    late = submit(store, memory=2 * GIB)
    assert late.look is None  # it passes nobody who fits
    assert node.claim(named(store, small)).verdict == "claimed"


def test_sixteen_tenants_do_not_hide_the_next_one(store: open.Store) -> None:
    node = Node(store, memory=4 * GIB, slots=10)
    node.run(job(store, memory=GIB))
    large = node.run(job(store, memory=3 * GIB))
    for n in range(16):
        assert node.claim(job(store, f"t{n}", memory=4 * GIB)).verdict == "full"
    small = submit(store, memory=2 * GIB)

    assert node.finish(large) == (small.answer.id,)
    assert node.claim(named(store, small)).verdict == "claimed"


def test_those_who_wait_for_another_nodes_image_hide_nobody(store: open.Store) -> None:
    plain, heavy = Node(store, "n", slots=1), Node(store, "m", images=[IMAGE], slots=1)
    heavy.run(job_of(store, image=IMAGE))
    running = plain.run(job(store))
    for _ in range(17):
        heavy.claim(job_of(store, image=IMAGE))
    behind = submit(store)

    assert plain.finish(running) == (behind.answer.id,)
    assert plain.claim(named(store, behind)).verdict == "claimed"


def test_of_a_very_long_line_each_is_looked_at_in_turn(store: open.Store) -> None:
    node = Node(store, memory=GIB)
    assert node.claim(job(store, memory=2 * GIB)).verdict == "full"
    for _ in range(299):
        submit(store, memory=2 * GIB)
    store.client.zrem(keys.NODES, "n")  # so that none is sent there by its acceptance
    small = job(store, memory=GIB)
    store.client.hset(keys.execution(small.id), "line", "")
    for key in ("line::default", "oldest:"):  # the last of all
        store.client.zadd(f"{keys.PREFIX}{key}", {small.id: 2**50})

    woken = [node.beat() for _ in range(3)]

    assert woken == ["", "", small.id]


def test_with_more_nodes_than_one_look_sees_an_idle_one_is_found(store: open.Store) -> None:
    first = Node(store, "n0", memory=2 * GIB)
    nodes = [first, *(Node(store, f"n{n}", slots=1, memory=2 * GIB) for n in range(1, 17))]
    for node in nodes[1:]:
        node.run(job(store))
    assert nodes[1].claim(job(store, memory=4 * GIB)).verdict == "full"
    for node in nodes[1:]:  # n0 was seen before all others
        node.beat()

    looks = {submit(store).look for _ in range(20)}

    # The first who sees it goes there, or lets one try who came before and saw others.
    assert looks <= {"n0", None}
    assert store.client.hget(keys.hold("n0"), "woken") is not None


def test_one_that_arrives_costs_redis_a_bounded_number_of_commands(store: open.Store) -> None:
    for n in range(16):
        Node(store, f"n{n}", memory=GIB)
    assert Node(store, memory=GIB).claim(job(store, memory=2 * GIB)).verdict == "full"
    for n in range(16):
        for _ in range(16):
            submit(store, f"t{n}", memory=2 * GIB)
    before = calls(store)

    assert submit(store, memory=2 * GIB).look is None

    assert calls(store) - before < 300


def calls(store: open.Store) -> int:
    """Commands that Redis carried out, those of scripts too."""
    return sum(row["calls"] for row in store.client.info("commandstats").values())
