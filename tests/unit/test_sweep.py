"""The sweeper, without a server: the scripts run in an emulated Redis."""

from __future__ import annotations

from pathlib import Path

import fakeredis
import pytest

from knify import clock, core, hints, settings, sweep
from knify.lifecycle import SandboxState
from knify.store import keys
from knify.store import open as store_open
from tests import factories

HOUR = 3_600_000


@pytest.fixture
def found(tmp_path: Path) -> core.Core:
    """A core on an emulated Redis; its hints are kept."""
    config = settings.load({"KNIFY_HOME": str(tmp_path)})
    store = store_open.build(fakeredis.FakeRedis(decode_responses=True), sandbox_ttl_ms=HOUR)
    made = core.connect(config, hints.RecordedHints())
    return core.Core(config, store, made.objects, made.sealed, made.hints, made.pepper)


def sent(found: core.Core) -> list[tuple[str, ...]]:
    assert isinstance(found.hints, hints.RecordedHints)
    return found.hints.sent


def submit(found: core.Core) -> str:
    sandbox = factories.sandbox()
    x = factories.execution(sandbox_id=sandbox.id)
    found.store.executions.submit(x, sandbox)
    return x.id


def test_what_is_due_is_hinted_once_while_a_node_lives(found: core.Core) -> None:
    job = submit(found)
    found.store.registry.heartbeat("n", {}, clock.now_ms())

    sweep.sweep(found)
    sweep.sweep(found)

    assert sent(found) == [(hints.ADVANCE, job, "")]


def test_without_a_living_node_no_queue_grows(found: core.Core) -> None:
    submit(found)

    sweep.sweep(found)

    assert sent(found) == []


def test_an_idle_sandbox_goes_when_its_time_is_over_and_not_before(found: core.Core) -> None:
    sandbox = factories.sandbox(state=SandboxState.PAUSED, node="n")
    fields = {"id": sandbox.id, "node": "n", "state": "paused"}
    for when, gone in ((clock.now_ms() + HOUR, False), (1, True)):
        found.store.client.hset(keys.sandbox(sandbox.id), mapping=fields | {"expires_at": when})
        found.store.client.zadd(keys.EXPIRY, {sandbox.id: when})

        sweep.sweep(found)

        assert ((hints.REMOVE, sandbox.id, "n") in sent(found)) is gone


def paused(found: core.Core, *, expires_at: int) -> str:
    sandbox = factories.sandbox(state=SandboxState.PAUSED, node="n")
    fields = {"id": sandbox.id, "node": "n", "state": "paused", "expires_at": expires_at}
    found.store.client.hset(keys.sandbox(sandbox.id), mapping=fields)
    found.store.client.zadd(keys.EXPIRY, {sandbox.id: expires_at})
    return sandbox.id


@pytest.mark.parametrize("days", [2, -2])
def test_by_a_clock_that_has_just_jumped_nothing_is_deleted(found: core.Core, days: int) -> None:
    now, client = found.store.registry.now_ms(), found.store.client
    client.hset(keys.WATCH, mapping={"since": now - HOUR, "last": now - days * 24 * HOUR})
    sandbox = paused(found, expires_at=1)

    for _ in range(3):
        sweep.sweep(found)
        assert (hints.REMOVE, sandbox, "n") not in sent(found)

    client.hset(keys.WATCH, "jumped", now - 2 * HOUR)  # the clock was right after all
    sweep.sweep(found)
    assert (hints.REMOVE, sandbox, "n") in sent(found)


def test_what_was_put_off_before_the_clock_stepped_back_is_due(found: core.Core) -> None:
    job = submit(found)
    found.store.registry.heartbeat("n", {}, clock.now_ms())
    found.store.client.zadd(keys.DUE, {job: found.store.registry.now_ms() + HOUR})

    sweep.sweep(found)
    sweep.sweep(found)

    assert sent(found) == [(hints.ADVANCE, job, "")]
