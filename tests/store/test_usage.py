"""What executions took of models, as Redis keeps it, also of what is told late."""

from __future__ import annotations

from dataclasses import replace

from knify.lifecycle import State
from knify.store import executionkeys, open
from knify.store.usage import Usage
from tests.store.test_executions import claimed, finished, submitted

ESTIMATE = Usage(calls=1, input=500, unpriced=1)
REAL = Usage(calls=1, input=100, cached=40, output=20, nano_usd=7)


def ended(store: open.Store, *before: Usage) -> str:
    """An execution that has ended after these additions."""
    x = submitted(store)
    for n, more in enumerate(before, 1):
        assert store.usages.add(x.id, "g", n, more)
    finished(store, claimed(store, x))
    return x.id


def test_what_a_call_took_takes_the_place_of_its_estimate_once(store: open.Store) -> None:
    x = submitted(store)
    store.usages.add(x.id, "g", 1, ESTIMATE)

    for _ in range(2):  # sent again, since the answer was lost
        found = store.usages.add(x.id, "g", 2, REAL - ESTIMATE)

    assert found is not None and not found.has_ended
    assert found.used == REAL == store.usages.of(x.id)


def test_a_late_answer_is_still_booked_to_its_execution_once(store: open.Store) -> None:
    job = ended(store, ESTIMATE)

    for _ in range(2):
        found = store.usages.add(job, "g", 2, REAL - ESTIMATE)

    assert found is not None and found.has_ended
    assert store.executions.get(job, tenant="default").usage == REAL.shown() | {
        "cost_usd": REAL.cost_usd
    }
    assert 0 < store.client.ttl(executionkeys.usage(job)) <= 3600


def test_a_question_to_an_ended_one_changes_nothing(store: open.Store) -> None:
    job = ended(store)

    found = store.usages.add(job, "g", 1, Usage())

    assert found is not None and found.has_ended
    assert store.executions.get(job, tenant="default").usage is None
    assert not store.client.exists(executionkeys.usage(job))


def test_what_comes_when_the_record_is_packed_or_gone_is_not_taken(store: open.Store) -> None:
    job = ended(store, ESTIMATE)
    raw = store.retention.raw(job)
    assert raw is not None
    store.retention.pack(job, raw, '{"row":"1","tenant":"default"}')

    assert not store.client.exists(executionkeys.usage(job))
    assert store.usages.add(job, "g", 2, REAL) is None
    assert store.usages.add("job_unknown", "g", 1, REAL) is None


def test_packing_notices_that_usage_was_corrected_meanwhile(store: open.Store) -> None:
    job = ended(store, ESTIMATE)
    raw = store.retention.raw(job)
    assert raw is not None
    store.usages.add(job, "g", 2, REAL - ESTIMATE)

    assert store.retention.pack(job, raw, '{"row":"1","tenant":"default"}') == "changed"

    fresh = store.retention.raw(job)
    assert fresh is not None
    assert store.retention.pack(job, fresh, '{"row":"1","tenant":"default"}') == "ok"


def test_totals_that_are_gone_do_not_overwrite_what_the_record_says(store: open.Store) -> None:
    x = submitted(store)
    held = claimed(store, x)
    for state in (State.STAGING, State.PROVISIONING, State.READY, State.RUNNING, State.COMPLETING):
        held = store.executions.move(held, state).execution
    shown = replace(REAL, calls=9).shown()
    store.executions.move(held, State.COMPLETED, usage=shown)
    store.client.delete(executionkeys.usage(x.id))

    assert store.usages.add(x.id, "g", 1, REAL) is None
    assert store.executions.get(x.id, tenant="default").usage == shown
