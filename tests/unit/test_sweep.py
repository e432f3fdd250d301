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
