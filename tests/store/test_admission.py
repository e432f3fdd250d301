"""Who gets a slot: capacity, turns among tenants, priority, nobody starves. On a real server."""

from __future__ import annotations

import pytest

from knify import model
from knify.store import keys, open
from tests.store.nodes import GIB, Node, job, position, waiting


@pytest.mark.parametrize(
    ("kind", "capacity", "need", "unit"),
    [
        ("cpus", {"cpus": 2, "cpu_overcommit": 2}, 1.5, "3"),
        ("memory", {"memory": 4 * GIB}, 3 * GIB, "3.0 GiB"),
        ("disk", {"disk": 4 * GIB}, 3 * GIB, "3.0 GiB"),
    ],
)
def test_what_does_not_fit_waits_and_says_why(
    store: open.Store, kind: str, capacity: dict[str, float], need: float, unit: str
) -> None:
    node = Node(store, **capacity)
    first, second = (job(store, **{kind: need * (2 if kind == "cpus" else 1)}) for _ in range(2))
    x = node.run(first)

    assert node.claim(second).verdict == "full"
    place, reason = waiting(store, second)
    assert (place, reason.split(",")[0]) == (1, f"{kind}: needs {unit}")
    assert node.finish(x) == (second.id,)
    assert node.claim(second).verdict == "claimed"


def test_what_is_used_follows_what_is_active_on_every_way(store: open.Store) -> None:
    here, there = Node(store, "n", memory=8 * GIB), Node(store, "m", memory=8 * GIB)
    a, b, c = job(store), job(store, memory=2 * GIB), job(store, memory=3 * GIB)

    x = here.run(a)
    here.run(b)
    assert here.claim(b).verdict == "held"  # a doubled hint
    assert here.claim(a, dead="n/b/1/1").verdict == "claimed"  # its owner died: no second slot
    assert here.used == here.summed == {"cpus": 2000, "memory": 3 * GIB, "disk": 2 * GIB}

    x = there.claim(a, dead="n/b/1/1").execution or x  # another node takes it
    assert here.used == here.summed
    assert there.used == there.summed == {"cpus": 1000, "memory": GIB, "disk": GIB}

    store.executions.cancel(c.id, "enough", {"t": 1, "e": []})  # it never took anything
    store.executions.release(x)  # it keeps what it has between two attempts
    assert there.used["memory"] == GIB
    x = there.run(a)
    there.finish(x)
    assert set(there.used.values()) == {0}
    assert store.admission.recount("n") is store.admission.recount("m") is None


def test_a_node_that_cannot_take_a_lost_job_over_leaves_it_its_slot(store: open.Store) -> None:
    here, small = Node(store, "n"), Node(store, "m", memory=GIB)
    x = here.run(job(store, memory=2 * GIB))

    assert small.claim(x, dead="n/b/1/1").verdict == "full"
    assert (here.active, small.active) == ({x.id}, set())
    assert store.client.keys("knify:line*") == []  # its owner may come back: it blocks nobody
    assert here.claim(x, dead="n/b/1/1").verdict == "claimed"


def test_a_pending_job_of_an_older_version_takes_nothing_but_its_slot(store: open.Store) -> None:
    node = Node(store, memory=GIB)
    x = job(store, memory=8 * GIB)
    store.client.hdel(keys.execution(x.id), "needs")

    node.finish(node.run(x))

    assert set(node.used.values()) == {0}


def test_a_drift_is_found_and_corrected(store: open.Store) -> None:
    node = Node(store)
    x = node.run(job(store, memory=2 * GIB))
    store.client.hincrby(keys.used("n"), "memory", 5)
    store.client.sadd(keys.active("n"), "job_gone")

    drift = store.admission.recount("n")

    assert drift is not None
    assert drift["before"] == [1000, 2 * GIB + 5, GIB]
    assert drift["now"] == [1000, 2 * GIB, GIB]
    assert (node.active, node.used) == ({x.id}, node.summed)
    assert store.admission.recount("n") is None


def test_a_tenant_with_three_jobs_does_not_wait_behind_another_ones_hundred(
    store: open.Store,
) -> None:
    node = Node(store, slots=1)
    x = node.run(job(store, "many"))
    many = [job(store, "many") for _ in range(100)]
    few = [job(store, "few") for _ in range(3)]
    assert {node.claim(one).verdict for one in (*many, *few)} == {"full"}

    served = []
    for _ in range(8):
        (woken,) = node.finish(x)
        x = node.run(store.executions.get(woken, tenant="few" if woken in ids(few) else "many"))
        served.append(x.id)

    assert served == [
        few[0].id, many[0].id, few[1].id, many[1].id, few[2].id, many[2].id, many[3].id, many[4].id
    ]  # fmt: skip
    assert position(store, many[9]) == 5


def test_leaving_the_line_does_not_bring_a_tenant_to_the_front(store: open.Store) -> None:
    node = Node(store, slots=1)
    x = node.run(job(store, "a"))
    b = job(store, "b")
    node.claim(b)
    again = job(store, "a")
    node.claim(again)

    assert node.finish(x) == (b.id,)


def test_within_a_tenant_priority_decides_then_age(store: open.Store) -> None:
    node = Node(store, slots=1)
    x = node.run(job(store))
    low, old, new, high = (job(store, priority=p) for p in (-1, 0, 0, 1))
    for one in (new, low, high, old):
        assert node.claim(one).verdict == "full"
    assert [position(store, one) for one in (high, old, new, low)] == [1, 2, 3, 4]

    served = []
    for _ in range(4):
        x = node.run(store.executions.get(node.finish(x)[0], tenant="default"))
        served.append(x.id)

    assert served == [high.id, old.id, new.id, low.id]


def test_a_smaller_job_passes_one_that_does_not_fit_now(store: open.Store) -> None:
    node = Node(store, memory=4 * GIB)
    node.run(job(store, memory=3 * GIB))
    big, small = job(store, memory=2 * GIB), job(store)

    assert node.claim(big).verdict == "full"
    assert node.claim(small).verdict == "claimed"


def test_a_newcomer_passes_nobody_who_would_fit(store: open.Store) -> None:
    node = Node(store, memory=4 * GIB)
    x = node.run(job(store, memory=4 * GIB))
    first, newcomer = job(store, memory=2 * GIB), job(store, memory=3 * GIB)
    node.claim(first)

    assert node.finish(x) == (first.id,)
    assert node.claim(newcomer).verdict == "full"
    assert node.claim(first).verdict == "claimed"


def test_a_big_job_does_not_starve_and_the_small_ones_neither(store: open.Store) -> None:
    node = Node(store, memory=2 * GIB)
    node.beat(patience_ms=60_000)
    running = [node.run(job(store)), node.run(job(store))]
    big, small, smaller = job(store, memory=2 * GIB), job(store), job(store)
    assert {node.claim(one).verdict for one in (big, small, smaller)} == {"full"}
    store.client.zincrby("knify:oldest:", -60_000, big.id)  # it has waited for long

    assert node.finish(running[0]) == ()  # small would fit, and the node is held
    assert node.claim(small).verdict == "full"
    assert "is held" in waiting(store, small)[1]
    store.client.hset(keys.hold("n"), "until", 1)  # time passes; it could not be had
    assert node.beat(patience_ms=60_000) == small.id
    x = node.run(small)
    assert node.finish(x) == (smaller.id,)  # for a while all may pass again

    x = node.run(smaller)
    late = job(store)
    node.claim(late)
    store.client.hset(keys.hold("n"), "again", 1)  # and then it is held once more
    store.client.hset(keys.execution(big.id), "held_until", 1)
    assert node.finish(x) == ()
    assert node.finish(running[1]) == (big.id,)
    assert node.claim(late).verdict == "full"
    assert node.claim(big).verdict == "claimed"


def test_a_node_is_held_no_longer_when_the_big_job_is_gone(store: open.Store) -> None:
    node = Node(store, memory=2 * GIB)
    x = node.run(job(store))
    node.run(job(store))
    big, small = job(store, memory=2 * GIB), job(store)
    node.claim(big)
    node.claim(small)
    store.client.zincrby("knify:oldest:", -600_000, big.id)
    assert node.finish(x) == ()

    assert store.executions.cancel(big.id, "enough", {"t": 1, "e": []})[1] == [small.id]


def test_who_can_never_fit_a_node_does_not_hold_it(store: open.Store) -> None:
    node = Node(store, memory=2 * GIB)
    huge, small = job(store, memory=9 * GIB), job(store)
    node.claim(huge)
    store.client.zincrby("knify:oldest:", -10_000_000, huge.id)

    assert node.claim(small).verdict == "claimed"


def test_one_too_far_behind_to_be_seen_is_not_kept_out_by_those_who_do_not_fit(
    store: open.Store,
) -> None:
    node = Node(store, memory=2 * GIB)
    node.run(job(store))
    for _ in range(40):
        assert node.claim(job(store, memory=2 * GIB)).verdict == "full"

    assert node.claim(job(store)).verdict == "claimed"


def test_without_slots_a_node_takes_nothing_new_and_goes_on_with_what_it_has(
    store: open.Store,
) -> None:
    node = Node(store)
    x, other = node.run(job(store)), job(store)
    store.executions.release(x)
    node.beat(slots=0)

    assert node.claim(other).verdict == "full"
    assert node.claim(x).verdict == "claimed"
    assert node.beat(slots=4) == other.id


def test_low_disk_stops_admission_until_it_is_over(store: open.Store) -> None:
    node = Node(store)
    x, other = node.run(job(store)), job(store)
    node.beat(low_disk="low disk on n: 1.0 GiB free, 2.0 GiB reserved")

    assert node.claim(other).verdict == "full"
    assert waiting(store, other)[1] == "low disk on n: 1.0 GiB free, 2.0 GiB reserved"
    assert node.finish(x) == ()
    assert node.beat(low_disk=None) == other.id
    assert node.claim(other).verdict == "claimed"


def test_a_larger_node_wakes_who_waits(store: open.Store) -> None:
    node = Node(store, memory=GIB)
    x = job(store, memory=2 * GIB)
    node.claim(x)

    assert node.beat() == ""
    assert node.beat(memory=2 * GIB) == x.id
    assert x.id in dict(store.executions.due(again_ms=1000))


def test_one_end_wakes_all_whom_it_makes_room_for_one_after_the_other(store: open.Store) -> None:
    node = Node(store, memory=4 * GIB)
    x = node.run(job(store, memory=4 * GIB))
    small = [job(store) for _ in range(5)]
    for one in small:
        node.claim(one)

    (woken,) = node.finish(x)
    served = []
    while woken:
        claim = node.claim(store.executions.get(woken, tenant="default"))
        served.append(woken)
        woken = claim.next

    assert served == ids(small[:4])


def test_who_finds_this_node_full_is_sent_to_one_with_room(store: open.Store) -> None:
    full, free = Node(store, "n", slots=1), Node(store, "m", slots=1)
    full.run(job(store))
    x = job(store)

    claim = full.claim(x)

    assert (claim.verdict, claim.other) == ("full", "m")
    assert free.claim(x).verdict == "claimed"
    assert full.claim(job(store)).other == ""


def test_a_bound_turn_and_a_fresh_job_wait_in_one_order(store: open.Store) -> None:
    node = Node(store, slots=1)
    first = node.make(node.run(job(store)))
    fresh = job(store)
    turn = job(store, parent=first)
    urgent = job(store, priority=3)
    assert node.claim(fresh).verdict == "full"
    assert node.claim(turn).verdict == "turn"
    assert waiting(store, turn)[1] == "an earlier job of its sandbox has not ended"
    assert node.claim(urgent).verdict == "full"

    assert set(node.finish(first)) == {turn.id, urgent.id}
    assert node.claim(turn).verdict == "full"
    x = node.run(urgent)
    assert node.finish(x) == (fresh.id,)
    assert node.finish(node.run(fresh)) == (turn.id,)
    assert node.claim(turn).verdict == "claimed"


def test_reasons_name_what_is_in_the_way(store: open.Store) -> None:
    x = job(store)
    assert waiting(store, x)[1] == "no node is there"
    nodes = [Node(store, name, slots=1) for name in ("m", "n")]
    assert waiting(store, x)[1] == "it is about to start, or others are before it"
    for node in nodes:
        node.run(job(store))
    nodes[0].claim(x)
    assert waiting(store, x)[1] == "no free slot on any node"
    nodes[0].beat(low_disk="low disk on m")
    said = waiting(store, x)[1] or ""  # whoever's heartbeat is older comes first
    assert set(said.split("; ")) == {"low disk on m", "no free slot on n"}


def ids(found: list[model.Execution]) -> list[str]:
    return [x.id for x in found]
