"""Idle sandboxes on a real server: archives, holds, hot ones, draining, and their races."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from knify import conflicts, errors, lifecycle, model
from knify.lifecycle import SandboxState
from knify.store import keys, open
from tests import factories
from tests.store.test_executions import claim, claimed, finished, submitted, turn_of

ME, OTHER = "n/b/1/1", "n/b/2/2"


def paused(store: open.Store, *, hot_ms: int | None = None, node: str = "n") -> model.Execution:
    """A finished execution whose sandbox is paused on its node."""
    first = submitted(store)
    x = claimed(store, first, node=node)
    active = {"state": SandboxState.ACTIVE, "node": node, "container": "c"}
    x = store.executions.note(x, "", "", sandbox=active)
    rest = {"state": SandboxState.PAUSED} | ({"hot_ms": hot_ms} if hot_ms else {})
    x = store.executions.note(x, "", "", sandbox=rest)
    finished(store, x)
    return first


def sandbox(store: open.Store, x: model.Execution) -> model.Sandbox:
    found = store.sandboxes.find(x.sandbox_id or "")
    assert found is not None
    return found


def begun(store: open.Store, x: model.Execution, owner: str = ME, **options: int) -> str:
    limit = {"limit_ms": 60_000} | options
    verdict, key = store.sandboxes.begin_archive(
        sandbox(store, x).id, node="n", owner=owner, **limit
    )
    assert verdict == "begun"
    return key


def committed(store: open.Store, x: model.Execution, key: str) -> bool:
    return store.sandboxes.commit_archive(
        x.sandbox_id or "", node="n", key=key, size=5, sha256="00"
    )


def archived(store: open.Store) -> model.Execution:
    x = paused(store)
    assert committed(store, x, begun(store, x))
    return x


def names(found: list[tuple[str, int]]) -> list[str]:
    return [name for name, _ in found]


def test_an_idle_paused_sandbox_is_listed_until_its_next_turn(store: open.Store) -> None:
    x = paused(store)
    assert names(store.sandboxes.paused("n")) == [x.sandbox_id]

    turn = turn_of(store, x)
    assert store.sandboxes.paused("n") == []

    store.executions.cancel(turn.id, "enough", {"t": 1, "e": []})
    assert names(store.sandboxes.paused("n")) == [x.sandbox_id]


def test_an_archived_sandbox_belongs_to_no_node_and_its_leftovers_are_to_be_removed(
    store: open.Store,
) -> None:
    x = paused(store)
    key = begun(store, x)

    assert committed(store, x, key)
    assert committed(store, x, key)  # its answer was lost

    found = sandbox(store, x)
    assert (found.state, found.node, found.container) == (SandboxState.ARCHIVED, None, None)
    assert (found.archive, found.archive_size, found.archiving) == (key, 5, None)
    assert store.sandboxes.removals("n") == [x.sandbox_id]
    assert store.sandboxes.paused("n") == []
    assert store.sandboxes.old_objects(2**53) == []


def test_an_archive_that_nobody_finishes_leaves_no_object_for_long(store: open.Store) -> None:
    x = paused(store)

    key = begun(store, x, limit_ms=1)

    seconds, _ = store.client.time()
    assert store.sandboxes.old_objects((seconds + 2) * 1000) == [key]
    assert sandbox(store, x).state is SandboxState.PAUSED
    assert claim(store, turn_of(store, x)).verdict == "claimed"


def test_an_archive_beyond_its_time_is_refused(store: open.Store) -> None:
    x = paused(store)
    key = begun(store, x, limit_ms=0)

    assert not committed(store, x, key)


def test_one_archive_at_a_time_unless_its_maker_is_dead(store: open.Store) -> None:
    x = paused(store)
    first = begun(store, x)
    again = {"node": "n", "owner": OTHER, "limit_ms": 60_000}

    assert store.sandboxes.begin_archive(x.sandbox_id or "", **again) == ("held", ME)
    verdict, second = store.sandboxes.begin_archive(x.sandbox_id or "", dead=ME, **again)

    assert verdict == "begun"
    assert not committed(store, x, first)
    assert committed(store, x, second)


def test_a_turn_ends_an_archiving_and_waits_for_nothing(store: open.Store) -> None:
    x = paused(store)
    key = begun(store, x)

    turn = turn_of(store, x)

    assert claim(store, turn).verdict == "claimed"
    assert not committed(store, x, key)
    store.sandboxes.abort_archive(x.sandbox_id or "", key)
    seconds, _ = store.client.time()
    assert store.sandboxes.old_objects((seconds + 1) * 1000) == [key]


def test_an_archived_sandbox_goes_on_anywhere(store: open.Store) -> None:
    x = archived(store)

    turn = claimed(store, turn_of(store, x), node="m")
    to = {"state": SandboxState.CREATING, "node": "m"}
    store.executions.note(turn, "", "", sandbox=to)

    assert sandbox(store, x).node == "m"
    assert store.sandboxes.removals("n") == [x.sandbox_id]


def test_a_node_removes_what_it_has_left_before_it_restores(store: open.Store) -> None:
    x = archived(store)
    turn = turn_of(store, x)
    name = x.sandbox_id or ""

    assert claim(store, turn).verdict == "leftover"
    assert store.sandboxes.hold(name, node="n", owner=ME, ms=9_000, purpose="remove")[0] == "held"
    assert claim(store, turn).verdict == "kept"
    assert store.sandboxes.unhold(name, node="n", owner=ME, done="removed") == turn.id

    assert claim(store, turn).verdict == "claimed"
    refused = store.sandboxes.hold(name, node="n", owner=ME, ms=9_000, purpose="remove")
    assert refused[0] == "refused"


def test_a_restoring_that_is_given_up_leaves_the_archive(store: open.Store) -> None:
    x = archived(store)
    turn = claimed(store, turn_of(store, x), node="m")
    to = {"state": SandboxState.CREATING, "node": "m"}
    turn = store.executions.note(turn, "", "", sandbox=to)

    store.executions.move(turn, lifecycle.State.FAILED)

    assert sandbox(store, x).state is SandboxState.ARCHIVED
    assert sandbox(store, x).node is None
    assert store.sandboxes.removals("m") == [x.sandbox_id]
    assert claim(store, turn_of(store, x), node="o").verdict == "claimed"


def test_the_next_archive_replaces_the_last_one(store: open.Store) -> None:
    x = archived(store)
    first = sandbox(store, x).archive
    store.sandboxes.hold(x.sandbox_id or "", node="n", owner=ME, ms=9_000, purpose="remove")
    store.sandboxes.unhold(x.sandbox_id or "", node="n", owner=ME, done="removed")
    turn = claimed(store, turn_of(store, x))
    for change in (
        {"state": SandboxState.CREATING, "node": "n"},
        {"state": SandboxState.ACTIVE},
        {"state": SandboxState.PAUSED},
    ):
        turn = store.executions.note(turn, "", "", sandbox=change)
    finished(store, turn)
    assert store.sandboxes.old_objects(2**53) == []

    key = begun(store, x)
    assert committed(store, x, key)

    assert key != first
    assert store.sandboxes.old_objects(2**53) == [first]


@pytest.mark.parametrize("expired", [False, True])
def test_deleting_an_archived_sandbox_deletes_its_object(store: open.Store, expired: bool) -> None:
    x = archived(store)
    key = sandbox(store, x).archive
    if expired:
        store.client.hset(keys.sandbox(x.sandbox_id or ""), "expires_at", 1)

    assert store.sandboxes.retire(x.sandbox_id or "", expired=expired).verdict == "deleted"

    assert store.sandboxes.old_objects(2**53) == [key]
    with pytest.raises((conflicts.SandboxDeleted, errors.SandboxExpired)):
        turn_of(store, x)


def test_only_idle_sandboxes_are_stopped_outside_turns(store: open.Store) -> None:
    x = paused(store, hot_ms=60_000)
    name = x.sandbox_id or ""
    assert names(store.sandboxes.hot("n")) == [name]

    turn = turn_of(store, x)
    assert store.sandboxes.hold(name, node="n", owner=ME, ms=9, purpose="stop")[0] == "refused"
    assert store.sandboxes.hot("n") == []

    store.executions.cancel(turn.id, "enough", {"t": 1, "e": []})
    assert names(store.sandboxes.hot("n")) == [name]
    assert store.sandboxes.hold(name, node="n", owner=ME, ms=9_000, purpose="stop")[0] == "held"
    late = turn_of(store, x)
    assert claim(store, late).verdict == "kept"
    assert store.sandboxes.unhold(name, node="n", owner=ME, done="stopped") == late.id
    assert sandbox(store, x).hot_until is None
    assert claim(store, late).verdict == "claimed"


def test_a_hold_beyond_its_time_is_told_and_never_taken_silently(store: open.Store) -> None:
    x = paused(store, hot_ms=60_000)
    name = x.sandbox_id or ""
    store.sandboxes.hold(name, node="n", owner=ME, ms=0, purpose="stop")

    turn = turn_of(store, x)
    found = claim(store, turn)

    assert (found.verdict, found.other, found.sandbox) == ("stale", ME, name)
    store.sandboxes.unhold(name, node="n", owner=OTHER)  # not the holder's name: nothing happens
    assert claim(store, turn).verdict == "stale"
    store.sandboxes.unhold(name, node="n", owner=ME)
    assert claim(store, turn).verdict == "claimed"


def test_whoever_dies_over_a_second_removal_leaves_it_to_others(store: open.Store) -> None:
    x = paused(store)
    name = x.sandbox_id or ""
    store.sandboxes.retire(name)
    for owner in (ME, OTHER):  # both had read the node's list when it was in it
        store.sandboxes.hold(name, node="n", owner=owner, ms=60_000, purpose="remove")
        if owner == ME:
            store.sandboxes.unhold(name, node="n", owner=ME, done="removed")

    assert store.sandboxes.removals("n") == [name]
    hold = f"knify:node:n:hold:{name}"
    assert 0 < store.client.ttl(hold) <= 86_400
    store.sandboxes.unhold(name, node="n", owner=OTHER, done="removed")
    assert not store.client.exists(hold)
    assert store.sandboxes.removals("n") == []


def test_a_draining_node_takes_nothing_new_but_goes_on_with_its_own(store: open.Store) -> None:
    x, fresh = paused(store), submitted(store)

    store.registry.drain("n", True)

    assert claim(store, fresh).verdict == "draining"
    assert claim(store, turn_of(store, x)).verdict == "claimed"
    assert claim(store, fresh, node="m").verdict == "claimed"


def test_undraining_wakes_those_who_wait(store: open.Store) -> None:
    fresh = submitted(store)
    store.registry.drain("n", True)
    assert claim(store, fresh).verdict == "draining"
    assert store.registry.draining()["n"]["paused"] == 0

    assert store.registry.drain("n", False) == [fresh.id]

    assert claim(store, fresh).verdict == "claimed"
    assert store.registry.draining() == {}


# Every order in which an archiving meets a continuation, a cleanup and an expiry.

ARCHIVER = ("begin", "commit")
RIVALS = (("submit",), ("cleanup",), ("expire",), ("submit", "cancel"), ("submit", "cleanup"))


def orders() -> list[tuple[str, ...]]:
    found = set()
    for rivals in itertools.chain(((one,) for one in RIVALS), itertools.combinations(RIVALS, 2)):
        for order in itertools.permutations((*ARCHIVER, *itertools.chain(*rivals))):
            if all(_in_order(order, part) for part in (ARCHIVER, *rivals)):
                found.add(order)
    return sorted(found)


def _in_order(order: tuple[str, ...], part: tuple[str, ...]) -> bool:
    rest = iter(order)
    return all(word in rest for word in part)


@pytest.mark.parametrize("order", orders(), ids="-".join)
def test_in_whatever_order_they_meet_there_is_one_sandbox_or_none(
    store: open.Store, order: tuple[str, ...]
) -> None:
    x = paused(store)
    name = x.sandbox_id or ""
    turns: list[model.Execution] = []
    key = ""

    def begin() -> None:
        nonlocal key
        options = {"node": "n", "owner": ME, "limit_ms": 60_000}
        verdict, key = store.sandboxes.begin_archive(name, **options)
        key = key if verdict == "begun" else ""

    def commit() -> None:
        if key and not committed(store, x, key):
            store.sandboxes.abort_archive(name, key)

    def submit() -> None:
        try:
            turns.append(turn_of(store, x))
        except (conflicts.SandboxDeleted, errors.SandboxExpired):
            return

    def cancel() -> None:
        for turn in turns:
            store.executions.cancel(turn.id, "enough", {"t": 1, "e": []})

    def expire() -> None:
        if store.client.hexists(keys.sandbox(name), "expires_at"):
            store.client.hset(keys.sandbox(name), "expires_at", 1)
        store.sandboxes.retire(name, expired=True)

    steps: dict[str, Callable[[], object]] = {
        "begin": begin,
        "commit": commit,
        "submit": submit,
        "cancel": cancel,
        "cleanup": lambda: store.sandboxes.retire(name),
        "expire": expire,
    }
    for word in order:
        steps[word]()

    found = sandbox(store, x)
    seconds, _ = store.client.time()
    old = store.sandboxes.old_objects((seconds + 1) * 1000)
    assert found.state in (SandboxState.PAUSED, SandboxState.ARCHIVED, SandboxState.DELETED)
    lives_here = found.state is SandboxState.PAUSED
    assert (found.node == "n") == lives_here or found.state is SandboxState.DELETED
    assert (name in store.sandboxes.removals("n")) != lives_here
    if key:
        assert (key in old) == (found.state is not SandboxState.ARCHIVED)
    waiting = [turn for turn in turns if turn.id in store.sandboxes.turns(name)]
    assert not (waiting and found.state is SandboxState.DELETED)
    for turn in waiting[:1]:
        assert claim(store, turn, node="n" if lives_here else "m").verdict == "claimed"
    idle = lives_here and not waiting
    assert names(store.sandboxes.paused("n")) == ([name] if idle else [])


def test_shelving_finds_what_is_in_no_list(store: open.Store) -> None:
    x = paused(store)
    store.client.delete(keys.paused("n"))

    store.sandboxes.shelve([x.sandbox_id or "", factories.sandbox().id])

    assert names(store.sandboxes.paused("n")) == [x.sandbox_id]


def test_a_hold_that_a_living_process_let_be_ends_with_its_time_and_nobody_is_killed(
    store: open.Store,
) -> None:
    x = paused(store, hot_ms=60_000)
    name = x.sandbox_id or ""
    store.sandboxes.hold(name, node="n", owner=ME, ms=60_000, purpose="stop")
    assert store.sandboxes.unhold(name, node="n", owner=ME, done="left") == ""

    turn = turn_of(store, x)
    assert claim(store, turn).verdict == "kept"
    store.client.hset(f"{keys.node('n')}:hold:{name}", "until", 1)

    assert claim(store, turn).verdict == "claimed"
    assert store.client.keys("knify:node:n:hold:*") == []
