"""The fenced scripts, on a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from knify import conflicts, errors, lifecycle, model
from knify.lifecycle import SandboxState, State
from knify.store import keys, open, streams
from knify.store.replies import Claim
from tests import factories

LEASE = 10_000


def submitted(store: open.Store, **fields: Any) -> model.Execution:
    sandbox = factories.sandbox()
    x = factories.execution(sandbox_id=sandbox.id, **fields)
    store.executions.submit(x, sandbox)
    return x


def turn_of(store: open.Store, first: model.Execution) -> model.Execution:
    x = factories.execution(sandbox_id=first.sandbox_id, parent_id=first.id)
    store.executions.submit(x, None)
    return x


def claim(store: open.Store, x: model.Execution, owner: str = "n/b/1/1", **options: Any) -> Claim:
    wanted: dict[str, Any] = {"node": "n", "lease_ms": LEASE, "slots": 10} | options
    return store.executions.claim(x.id, owner=owner, **wanted)


def claimed(store: open.Store, x: model.Execution, **options: Any) -> model.Execution:
    found = claim(store, x, **options).execution
    assert found is not None
    return found


def finished(store: open.Store, x: model.Execution) -> tuple[str, ...]:
    """Take a claimed execution to its end; the hints it gave."""
    for state in (State.STAGING, State.PROVISIONING, State.READY, State.RUNNING, State.COMPLETING):
        x = store.executions.move(x, state).execution
    return store.executions.move(x, State.COMPLETED).hints


def stages(store: open.Store, x: model.Execution) -> list[str]:
    return [event.stage for event in store.streams.events(x.id)]


def test_a_submitted_execution_is_pending_listed_and_due(store: open.Store) -> None:
    x = submitted(store)

    found = store.executions.get(x.id, tenant="default")

    assert found.state is State.PENDING
    assert [e.id for e in store.listing.page("default").executions] == [x.id]
    assert store.executions.due(again_ms=1000) == [(x.id, "")]
    assert store.executions.due(again_ms=1000) == []
    assert stages(store, x) == ["created"]


def test_another_tenant_cannot_see_an_execution(store: open.Store) -> None:
    x = submitted(store)

    with pytest.raises(errors.NotFound):
        store.executions.get(x.id, tenant="other")
    assert store.listing.page("other").total == 0


def test_one_idempotency_key_makes_one_execution(store: open.Store) -> None:
    first, second = factories.sandbox(), factories.sandbox()
    a = factories.execution(sandbox_id=first.id)
    b = factories.execution(sandbox_id=second.id)
    store.executions.submit(a, first, idempotency_key="k", digest="d")

    found = store.executions.submit(b, second, idempotency_key="k", digest="d")

    assert (found.answer.id, found.answer.sandbox_id) == (a.id, first.id) and found.replayed
    with pytest.raises(errors.IdempotencyConflict):
        store.executions.submit(b, second, idempotency_key="k", digest="other")
    assert store.listing.page("default").total == 1
    assert store.sandboxes.find(second.id) is None


def test_a_lease_is_held_by_one_owner_until_it_runs_out(store: open.Store) -> None:
    x = submitted(store)

    first = claimed(store, x, lease_ms=1)
    deadline = store.client.time()
    while store.client.time()[1] // 2000 == deadline[1] // 2000:
        pass
    second = claim(store, x, owner="n/b/2/2")
    third = claim(store, x, owner="n/b/3/3")

    assert first.fence == 1
    assert second.execution is not None
    assert second.execution.fence == 2
    assert second.other == "n/b/1/1"
    assert third == Claim("held", other="n/b/2/2")


def test_the_lease_of_a_dead_owner_counts_for_nothing(store: open.Store) -> None:
    x = submitted(store)
    claimed(store, x, owner="n/b/1/1")

    assert claim(store, x, owner="n/b/2/2", dead="n/b/1/1").verdict == "claimed"
    assert claim(store, x, owner="n/b/3/3", dead="n/b/1/1").verdict == "held"


def test_a_thawed_worker_can_change_nothing(store: open.Store) -> None:
    x = submitted(store)
    frozen = claimed(store, x)
    owner = claimed(store, x, owner="n/b/2/2", dead="n/b/1/1")
    before = store.client.hgetall(keys.execution(x.id))

    with pytest.raises(errors.LeaseLost):
        store.executions.move(frozen, State.STAGING)
    with pytest.raises(errors.LeaseLost):
        store.executions.note(frozen, "x", "y")
    with pytest.raises(errors.LeaseLost):
        store.executions.append(frozen, ['{"t":1,"e":[]}'], lines=1, out=1, err=0)
    with pytest.raises(errors.LeaseLost):
        store.executions.release(frozen)
    assert store.executions.renew([(x.id, frozen.fence)], lease_ms=LEASE) == ["lost"]

    assert store.client.hgetall(keys.execution(x.id)) == before
    assert stages(store, x) == ["created"]
    assert store.executions.move(owner, State.STAGING).execution.state is State.STAGING


@pytest.mark.parametrize("here", list(State))
@pytest.mark.parametrize("there", list(State))
def test_only_moves_of_the_table_are_made(here: State, there: State) -> None:
    allowed = there in lifecycle.EXECUTION[here]

    if allowed:
        lifecycle.check(here, there)
    else:
        with pytest.raises(conflicts.IllegalTransition):
            lifecycle.check(here, there)


def test_a_move_from_a_state_that_has_passed_is_refused(store: open.Store) -> None:
    old = claimed(store, submitted(store))
    new = store.executions.move(old, State.STAGING).execution
    store.executions.move(new, State.PROVISIONING)

    with pytest.raises(conflicts.IllegalTransition):
        store.executions.move(old, State.STAGING)
    assert stages(store, old) == ["created", "staging", "provisioning"]


def test_a_move_repeated_after_a_lost_answer_is_made_once(store: open.Store) -> None:
    x = claimed(store, submitted(store))

    first = store.executions.move(x, State.STAGING).execution
    again = store.executions.move(x, State.STAGING).execution

    assert again == first
    assert stages(store, x) == ["created", "staging"]


def test_nobody_slips_in_before_those_who_wait(store: open.Store) -> None:
    running, urgent = submitted(store), submitted(store, spec=factories.spec(priority=10))
    x = claimed(store, running, slots=1)
    assert claim(store, urgent, slots=1).verdict == "full"
    finished(store, x)
    late = submitted(store, spec=factories.spec(priority=-10))

    assert claim(store, late, slots=1).verdict == "full"
    assert claim(store, urgent, slots=1).verdict == "claimed"


def test_a_claim_says_who_may_come_next(store: open.Store) -> None:
    x = claimed(store, submitted(store), slots=1)
    a, b = submitted(store), submitted(store)
    assert [claim(store, one, slots=1).verdict for one in (a, b)] == ["full", "full"]
    finished(store, x)

    assert claim(store, a, slots=2).next == b.id


def test_a_slot_is_given_back_by_the_node_that_lost_a_job(store: open.Store) -> None:
    x = submitted(store)
    claimed(store, x, node="a")

    claimed(store, x, node="b", dead="n/b/1/1")

    assert store.executions.active("a") == []
    assert [one.id for one in store.executions.active("b")] == [x.id]


def test_a_finished_execution_leaves_every_working_index(store: open.Store) -> None:
    x = submitted(store)

    finished(store, claimed(store, x))

    assert store.executions.due(again_ms=1) == []
    assert store.executions.active("n") == []
    assert store.sandboxes.turns(x.sandbox_id or "") == []
    assert claim(store, x).verdict == "terminal"
    assert store.listing.page("default", states=["completed"]).total == 1
    assert store.listing.page("default", states=["pending", "running"]).total == 0
    sandbox = store.sandboxes.find(x.sandbox_id or "")
    assert sandbox is not None
    assert sandbox.expires_at is not None


def test_turns_of_one_sandbox_run_one_after_the_other(store: open.Store) -> None:
    first = submitted(store)
    second, third = turn_of(store, first), turn_of(store, first)

    assert claim(store, second).verdict == "turn"
    hints = finished(store, claimed(store, first))
    assert hints == (second.id,)
    assert claim(store, third).verdict == "turn"
    assert claim(store, second).verdict == "claimed"


def test_a_sandbox_that_never_was_cannot_be_continued(store: open.Store) -> None:
    first = submitted(store)
    store.executions.cancel(first.id, "enough", {"t": 1, "e": []})

    with pytest.raises(conflicts.SandboxNone):
        turn_of(store, first)


def test_a_cleaned_up_sandbox_cannot_be_continued(store: open.Store) -> None:
    first = submitted(store)
    x = claimed(store, first)
    x = store.executions.note(x, "", "", sandbox={"state": SandboxState.ACTIVE, "node": "n"})
    sandbox_id = x.sandbox_id or ""

    assert store.sandboxes.retire(sandbox_id).turns == (x.id,)
    finished(store, x)
    assert store.sandboxes.retire(sandbox_id).verdict == "deleted"
    assert store.sandboxes.retire(sandbox_id).verdict == "again"

    with pytest.raises(conflicts.SandboxDeleted):
        turn_of(store, first)
    assert store.sandboxes.removals("n") == [sandbox_id]


def test_a_doomed_sandbox_goes_with_its_last_turn(store: open.Store) -> None:
    first = submitted(store)
    x = claimed(store, first)
    x = store.executions.note(x, "", "", sandbox={"state": SandboxState.ACTIVE, "node": "n"})
    sandbox_id = x.sandbox_id or ""

    assert store.sandboxes.retire(sandbox_id, force=True).verdict == "doomed"
    with pytest.raises(conflicts.SandboxDeleted):
        turn_of(store, first)
    finished(store, x)

    found = store.sandboxes.find(sandbox_id)
    assert found is not None
    assert found.state is SandboxState.DELETED
    assert store.sandboxes.removals("n") == [sandbox_id]


def test_who_finds_no_slot_waits_and_the_first_by_priority_is_woken(store: open.Store) -> None:
    running, late = submitted(store), submitted(store)
    urgent = submitted(store, spec=factories.spec(priority=5))
    x = claimed(store, running, slots=1)

    assert claim(store, late, slots=1).verdict == "full"
    assert claim(store, urgent, slots=1).verdict == "full"
    assert finished(store, x) == (urgent.id,)
    assert claim(store, urgent, slots=1).verdict == "claimed"


def test_output_is_stored_once_and_in_order(store: open.Store) -> None:
    x = claimed(store, submitted(store))
    entry = json.dumps(streams.entry_json(1, [], n=1, stream="stdout", line="hello"))

    after = store.executions.append(x, [entry], lines=1, out=6, err=0)
    store.executions.append(x, [entry], lines=1, out=6, err=0)
    with pytest.raises(errors.LeaseLost):
        store.executions.append(after.evolve(entries=5), [entry], lines=2, out=12, err=0)

    assert [(e.seq, e.n, e.line) for e in store.streams.output(x.id)] == [(1, 1, "hello")]
    found = store.executions.find(x.id)
    assert found is not None
    assert (found.entries, found.lines, found.out_bytes) == (1, 1, 6)


def test_totals_move_on_when_nothing_more_is_kept(store: open.Store) -> None:
    x = claimed(store, submitted(store))

    store.executions.append(x, [], lines=0, out=99, err=0)

    found = store.executions.find(x.id)
    assert found is not None
    assert found.out_bytes == 99


def test_a_pending_execution_is_cancelled_at_once(store: open.Store) -> None:
    x = submitted(store)

    assert store.executions.cancel(x.id, "enough", {"t": 1, "e": []}) == ("cancelled", [])

    found = store.executions.get(x.id, tenant="default")
    assert found.state is State.CANCELLED
    assert stages(store, x) == ["created", "cancelled"]
    assert len(list(store.streams.output(x.id))) == 1
    assert store.executions.cancel(x.id, "again", {}) == ("terminal", ["cancelled"])


def test_an_owned_execution_is_asked_to_cancel(store: open.Store) -> None:
    x = claimed(store, submitted(store))

    assert store.executions.cancel(x.id, "enough", {}) == ("asked", ["n"])
    assert store.executions.renew([(x.id, x.fence)], lease_ms=LEASE) == ["cancel"]


def test_a_turn_goes_to_the_node_of_its_sandbox(store: open.Store) -> None:
    first = submitted(store)
    x = claimed(store, first)
    store.executions.note(x, "", "", sandbox={"state": SandboxState.ACTIVE, "node": "n"})
    second = turn_of(store, first)
    finished(store, x)

    assert claim(store, second, node="m") == Claim("elsewhere", other="n")


def test_scripts_survive_a_flush(store: open.Store) -> None:
    submitted(store)
    store.client.script_flush()

    assert store.executions.find(submitted(store).id) is not None


def test_a_store_of_another_installation_is_refused(store: open.Store) -> None:
    own = store.registry.installation(None)

    assert store.registry.installation(own) == own
    with pytest.raises(errors.ConfigError, match="KNIFY_HOME"):
        store.registry.installation("inst_other")
    store.client.set(keys.SCHEMA, 99)
    with pytest.raises(errors.ConfigError, match="upgrade"):
        store.registry.installation(own)


def test_lists_filter_by_state_type_and_time(store: open.Store) -> None:
    made = [submitted(store) for _ in range(5)]
    book = submitted(store, spec=factories.spec(job_type="runbook_task", prompt="x"))
    finished(store, claimed(store, made[0]))

    def ids(**filters: Any) -> list[str]:
        return [x.id for x in store.listing.page("default", **filters).executions]

    assert ids(limit=2) == [book.id, made[4].id]
    assert ids(limit=2, offset=2) == [made[3].id, made[2].id]
    assert ids(job_type="runbook_task") == [book.id]
    assert ids(states=["completed"]) == [made[0].id]
    assert ids(states=["pending"], job_type="runbook_task") == [book.id]
    assert ids(states=["completed"], job_type="runbook_task") == []
    newest = store.executions.get(book.id, tenant="default").created_at
    assert ids(created_after=newest) == []
    assert len(ids(created_before=newest + 1)) == 6
