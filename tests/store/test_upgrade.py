"""A store that the version before wrote is read, upgraded once, and worked on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knify import errors, model
from knify.lifecycle import SandboxState, State
from knify.services import jobs
from knify.store import codec, keys, open, upgrade
from tests.retention.dying import dying
from tests.runner.conftest import rig
from tests.runner.rig import OUT, Rig, Worker
from tests.store import invariants

__all__ = ["rig"]
FIXTURE = Path(__file__).parent / "schema-2.json"


def load(client: Any) -> dict[str, str]:
    """Write the old store; its jobs by what became of them."""
    old = json.loads(FIXTURE.read_text())
    for key, row in old["keys"].items():
        value = row["value"]
        match row["type"]:
            case "string":
                client.set(key, value)
            case "hash":
                client.hset(key, mapping=value)
            case "set":
                client.sadd(key, *value)
            case "zset":
                client.zadd(key, dict(value))
            case "list":
                client.rpush(key, *value)
            case "stream":
                for entry_id, fields in value:
                    client.xadd(key, fields, id=entry_id)
    return dict(old["jobs"])


def test_an_old_store_is_read_as_it_is(store: open.Store) -> None:
    found = {
        what: store.executions.get(job, tenant="default")
        for what, job in load(store.client).items()
    }

    assert {what: x.state.value for what, x in found.items()} == {
        "done": "completed", "failed": "failed", "cancelled": "cancelled",
        "running": "running", "pending": "pending", "turn": "pending",
        "packed": "completed", "brief": "completed",
    }  # fmt: skip
    assert found["done"].spec.failure_action == "keep"
    assert found["packed"].packed
    assert found["packed"].metadata == {"team": "b", "n": 7}
    sandbox = store.sandboxes.find(found["done"].sandbox_id or "")
    assert sandbox is not None
    assert sandbox.state is SandboxState.PAUSED


def test_an_upgrade_is_made_once_and_says_how_much_it_read(store: open.Store) -> None:
    load(store.client)
    assert store.registry.schema() == 2

    read = store.registry.upgrade()

    assert read == 15  # eight jobs, seven sandboxes
    assert store.registry.schema() == model.SCHEMA
    assert store.registry.upgrade() == 0


def test_an_upgraded_store_finds_its_jobs_by_all_that_is_known_of_them(store: open.Store) -> None:
    old = load(store.client)
    order = store.client.zrevrange(keys.executions("default"), 0, -1)
    rows = {what: store.executions.find(old[what]) for what in ("packed", "brief")}

    store.registry.upgrade()

    def ids(**filters: Any) -> list[str]:
        return [x.id for x in store.listing.page("default", **filters).executions]

    assert ids() == order
    assert ids(states=["failed"]) == [old["failed"]]
    assert set(ids(states=["pending"], job_type="command_task")) == {old["pending"], old["turn"]}
    assert set(ids(job_type="command_task")) == set(old.values())
    for team, what in {"a": "done", "b": "packed", "c": "brief", "d": "pending"}.items():
        assert ids(metadata={"team": team}) == [old[what]]
    assert ids(metadata={"team": "b", "n": "7"}, states=["completed"]) == [old["packed"]]
    assert {what: store.executions.find(old[what]) for what in rows} == rows
    assert not list(store.client.scan_iter("knify:t:*:x:*"))
    assert invariants.problems(store) == []


@pytest.mark.parametrize("n", range(20))
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_upgrade_that_dies_is_made_by_the_next_start(
    store: open.Store, n: int, when: str
) -> None:
    load(store.client)
    scripts = store.registry._scripts
    with dying(n, when, (scripts, "call"), (store.client, "unlink"), (store.client, "zrem")):
        store.registry.upgrade()

    store.registry.upgrade()

    assert store.registry.schema() == model.SCHEMA
    assert store.listing.page("default").total == 8
    assert invariants.problems(store) == []


def test_an_upgrade_that_comes_late_leaves_the_count_of_a_sandbox_with_a_job_more(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = rig.core.store
    job = load(store.client)["done"]
    sandbox_id = rig.job(job).sandbox_id or ""
    store.client.hdel(keys.sandbox(sandbox_id), "executions")
    decode = codec.sandbox

    started = list[str]()

    def read(fields: Any, name: str) -> Any:
        if name == sandbox_id and not started:
            started.append(name)
            store.registry.upgrade()
            request = jobs.Submission({"job_type": "command_task", "command": ["true"]})
            jobs.continue_(rig.core, "default", job, request)
        return decode(fields, name)

    monkeypatch.setattr(codec, "sandbox", read)

    store.registry.upgrade()

    assert started
    assert store.client.hget(keys.sandbox(sandbox_id), "executions") == "3"
    assert invariants.problems(store) == []


def test_an_upgrade_that_comes_late_lists_no_job_that_was_deleted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = rig.core.store
    old = load(store.client)
    index = store.registry._scripts.call
    deleted = list[str]()

    def call(name: str, *arguments: Any) -> Any:
        if name == "index" and not deleted:
            deleted.append(str(arguments[0]))
            store.registry.upgrade()
            store.retention.delete(deleted[0])
        return index(name, *arguments)

    monkeypatch.setattr(store.registry._scripts, "call", call)

    store.registry.upgrade()

    listed = {x.id for x in store.listing.page("default").executions}
    assert listed == set(old.values()) - set(deleted)
    assert invariants.problems(store) == []


def test_a_version_that_is_older_than_the_store_beats_no_more(store: open.Store) -> None:
    store.client.set(keys.SCHEMA, model.SCHEMA + 1)

    with pytest.raises(errors.StoreNewer, match="upgrade Knify"):
        store.registry.heartbeat("n1", {})

    assert store.registry.nodes() == {}


def test_what_a_scan_gives_twice_counts_once(
    store: open.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store.client)
    scan = store.client.scan_iter
    monkeypatch.setattr(
        store.client, "scan_iter", lambda *a, **n: (key for key in scan(*a, **n) for _ in (1, 2))
    )

    read = store.registry.upgrade()

    monkeypatch.undo()
    assert read == 15
    assert invariants.problems(store) == []


def test_a_store_with_a_record_that_cannot_be_read_keeps_its_number(store: open.Store) -> None:
    job = load(store.client)["done"]
    store.client.hdel(keys.execution(job), "spec")

    with pytest.raises(errors.ConfigError, match=job):
        store.registry.upgrade()

    assert store.registry.schema() == 2


def test_only_the_version_before_is_read() -> None:
    upgrade.check(model.SCHEMA)
    upgrade.check(model.SCHEMA - 1)
    with pytest.raises(errors.ConfigError, match="upgrade Knify"):
        upgrade.check(model.SCHEMA + 1)
    with pytest.raises(errors.ConfigError, match="between"):
        upgrade.check(model.SCHEMA - 2)


def test_records_are_upgraded_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SCHEMA", 4)
    steps = {n: lambda fields, n=n: dict(fields) | {f"from{n}": "yes"} for n in (1, 2, 3)}
    monkeypatch.setattr(upgrade, "_UPGRADES", {"sandbox": steps})

    assert upgrade.record("sandbox", {}) == {"from1": "yes", "from2": "yes", "from3": "yes"}
    assert upgrade.record("sandbox", {"schema": "3"}) == {"schema": "3", "from3": "yes"}
    assert upgrade.record("sandbox", {"schema": "4"}) == {"schema": "4"}


def test_work_goes_on_in_an_upgraded_store(rig: Rig) -> None:
    store = rig.core.store
    old = load(store.client)
    rig.script("hello", steps=[(0, OUT, b"one\n")])
    first = rig.job(old["done"])
    sandbox = store.sandboxes.find(first.sandbox_id or "")
    assert sandbox is not None
    box = rig.host.make("test", _request(sandbox))
    rig.host.containers = {sandbox.container or "": box}
    box.id = sandbox.container or ""
    gone = rig.job(old["running"]).sandbox_id or ""
    store.client.hset(keys.sandbox(gone), "container", "gone")

    store.registry.upgrade()
    worker = Worker(rig)
    for what in ("pending", "turn", "running"):
        worker.advance(old[what])
    request = {"job_type": "command_task", "command": ["hello"]}
    more = jobs.continue_(rig.core, "default", old["turn"], jobs.Submission(request)).execution.id
    rig.ended(old["turn"])
    worker.advance(more)

    assert rig.ended(old["pending"]).state is State.COMPLETED
    assert rig.ended(old["turn"]).state is State.COMPLETED
    assert rig.ended(more).state is State.COMPLETED
    assert rig.ended(old["running"]).error == "the sandbox is gone"
    assert rig.lines(old["done"]) == ["one", "two"]


def _request(sandbox: model.Sandbox) -> Any:
    from knify.sandbox import base

    return base.SandboxRequest(sandbox.id, sandbox.image, sandbox.resources, sandbox.tenant)
