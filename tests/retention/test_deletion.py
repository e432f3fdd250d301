"""A deleted job is gone at once for its users, and soon for good, whoever dies on the way."""

from __future__ import annotations

from typing import Any

import pytest

from knify import sweep
from knify.core import Core
from knify.services import deletion, packing, retention
from knify.store import keys
from tests.api.parts import COMMAND, Api, Worker
from tests.retention.dying import dying
from tests.retention.test_expiry import left, objects
from tests.retention.test_packing import make, pack_all
from tests.store import invariants


def delete(api: Api, job_id: str) -> int:
    return api.request("DELETE", f"/jobs/{job_id}").status_code


def forgotten(core: Core) -> None:
    """Half an hour later."""
    for name in core.store.client.zrange(keys.FORGOTTEN, 0, -1):
        core.store.client.zadd(keys.FORGOTTEN, {name: 1})
    retention.tidy(core)


@pytest.mark.parametrize("packed", [False, True])
def test_a_deleted_job_leaves_nothing_and_is_not_found_from_then_on(
    api: Api, worker: Worker, core: Core, packed: bool
) -> None:
    job_id = make(api, worker, spill=700, metadata={"team": "a"})
    sandbox_id = core.store.executions.get(job_id, tenant="default").sandbox_id or ""
    if packed:
        pack_all(core)

    assert delete(api, job_id) == 204

    assert delete(api, job_id) == 404
    for path in ("", "/events", "/output", "/output/stream", "/artifacts", "/artifacts.tar.gz"):
        assert api.get(f"/jobs/{job_id}{path}").status_code == 404
    assert api.get("/jobs?metadata.team=a").get_json() == []
    assert objects(core) == []
    assert core.store.sandboxes.removals("n1") == [sandbox_id]
    assert invariants.problems(core.store) == []
    core.store.client.srem(keys.removals("n1"), sandbox_id)
    core.store.client.delete(keys.sandbox(sandbox_id))
    assert left(core) == set()


def test_only_its_own_tenant_may_delete_a_job(api: Api, stranger: Api, worker: Worker) -> None:
    job_id = make(api, worker)

    assert delete(stranger, job_id) == 404
    assert api.get(f"/jobs/{job_id}").status_code == 200


def test_a_job_that_waits_is_cancelled_and_gone(api: Api, core: Core) -> None:
    job_id = api.submit()

    assert delete(api, job_id) == 204

    assert core.store.executions.find(job_id) is None
    assert core.store.client.zcard(keys.DUE) == 0
    assert invariants.problems(core.store) == []


def test_a_running_job_is_gone_at_once_and_its_deletion_completes_by_itself(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = api.submit(metadata={"team": "a"})
    x = worker.lines(worker.run(job_id), "one")

    assert delete(api, job_id) == 204

    assert api.get(f"/jobs/{job_id}").status_code == 404
    assert api.get("/jobs").get_json() == []
    assert delete(api, job_id) == 404
    assert invariants.problems(core.store) == []
    assert core.store.executions.renew([(job_id, x.fence)], lease_ms=1000) == ["cancel"]
    sweep.sweep(core)
    assert core.store.executions.find(job_id) is not None
    worker.keep(job_id, {"a.txt": b"a"})
    worker.finish(worker.lines(x, "two"))
    assert invariants.problems(core.store) == []
    packing.pack(core, job_id)  # may come first; it does not make a row of it
    assert core.store.client.zcard(keys.DELETING) == 1

    sweep.sweep(core)

    assert core.store.executions.find(job_id) is None
    assert objects(core) == []
    assert core.store.client.zcard(keys.DELETING) == 0
    assert invariants.problems(core.store) == []


def test_a_sandbox_is_left_to_its_other_jobs_and_goes_with_the_last(
    api: Api, worker: Worker, core: Core
) -> None:
    first = make(api, worker)
    second = api.post(f"/jobs/{first}/continue", {"spec": COMMAND}).get_json()["job_id"]
    sandbox_id = core.store.executions.get(first, tenant="default").sandbox_id or ""

    assert delete(api, first) == 204
    assert api.post(f"/jobs/{first}/continue", {"spec": COMMAND}).status_code == 404
    third = api.post(f"/jobs/{second}/continue", {"spec": COMMAND}).get_json()["job_id"]
    worker.finish(worker.run(second))
    assert delete(api, second) == 204
    assert core.store.sandboxes.removals("n1") == []
    worker.finish(worker.run(third))
    assert delete(api, third) == 204

    assert core.store.sandboxes.removals("n1") == [sandbox_id]
    assert invariants.problems(core.store) == []


def test_deleting_what_an_older_version_did_not_count_spares_the_sandbox_of_others(
    api: Api, worker: Worker, core: Core
) -> None:
    first = make(api, worker)
    sandbox_id = core.store.executions.get(first, tenant="default").sandbox_id or ""
    core.store.client.hdel(keys.sandbox(sandbox_id), "executions")
    second = api.post(f"/jobs/{first}/continue", {"spec": COMMAND}).get_json()["job_id"]
    worker.finish(worker.run(second))
    core.store.client.set(keys.SCHEMA, 2)
    core.store.registry.upgrade()

    assert delete(api, second) == 204

    assert core.store.sandboxes.removals("n1") == []
    assert api.post(f"/jobs/{first}/continue", {"spec": COMMAND}).status_code == 200


def test_who_packs_a_job_that_is_deleted_meanwhile_writes_nothing_back(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make(api, worker, spill=700)
    put = core.objects.put

    def deleted_meanwhile(key: str, *more: Any) -> Any:
        monkeypatch.setattr(core.objects, "put", put)
        assert delete(api, job_id) == 204
        return put(key, *more)

    monkeypatch.setattr(core.objects, "put", deleted_meanwhile)
    try:
        packing.pack(core, job_id)
    except Exception as failed:
        assert "changed" in str(failed)
    forgotten(core)

    assert core.store.executions.find(job_id) is None
    assert objects(core) == []
    assert invariants.problems(core.store) == []


def test_the_first_answer_is_replayed_though_the_job_is_deleted(api: Api, worker: Worker) -> None:
    headers = {"Idempotency-Key": "k"}
    first = api.post("/jobs", {"spec": COMMAND}, headers=headers).get_json()
    worker.finish(worker.run(first["job_id"]))
    assert delete(api, first["job_id"]) == 204

    again = api.post("/jobs", {"spec": COMMAND}, headers=headers)

    assert (again.status_code, again.get_json()) == (200, first)
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(7))
@pytest.mark.parametrize("state", ["pending", "ended", "packed"])
def test_dying_at_any_line_of_a_deletion_leaves_nothing_without_an_owner(
    api: Api, worker: Worker, core: Core, state: str, n: int, when: str
) -> None:
    job_id = api.submit() if state == "pending" else make(api, worker, spill=700)
    if state == "packed":
        pack_all(core)
    scripts = core.store.retention._scripts
    with dying(n, when, (scripts, "call"), (core.objects, "delete_prefix")):
        deletion.delete(core, "default", job_id)
    assert invariants.problems(core.store) == []
    wanted = core.store.client.zcard(keys.DELETING) + core.store.client.zcard(keys.EXPIRING)
    if core.store.executions.find(job_id) is not None and not wanted:  # nothing was said yet
        deletion.delete(core, "default", job_id)

    sweep.sweep(core)

    assert core.store.executions.find(job_id) is None
    assert objects(core) == []
    assert core.store.client.zcard(keys.DELETING) == core.store.client.zcard(keys.EXPIRING) == 0
    assert invariants.problems(core.store) == []


def test_while_the_object_store_is_away_a_deletion_waits_unseen(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    from knify import errors

    job_id = make(api, worker)

    def away(*_: Any) -> None:
        raise errors.ObjectStoreError

    with monkeypatch.context() as patch:
        patch.setattr(core.objects, "delete_prefix", away)
        assert delete(api, job_id) == 204
        assert api.get(f"/jobs/{job_id}").status_code == 404
        sweep.sweep(core)
        assert objects(core) != []

    sweep.sweep(core)

    assert objects(core) == []
    assert core.store.executions.find(job_id) is None


def test_one_sweep_at_a_time_deletes_and_only_for_a_while(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [api.submit() for _ in range(3)]
    for job_id in jobs:
        core.store.retention.delete(job_id)

    with retention.turn() as end:
        assert end is not None
        assert deletion.go_on(core) == 0  # another sweep is at it
    with monkeypatch.context() as late:
        late.setattr(retention, "_SECONDS", -1.0)
        assert deletion.go_on(core) == 0  # it has had its time
    assert core.store.client.zcard(keys.DELETING) == 3

    assert deletion.go_on(core) == 3
    assert [core.store.executions.find(job_id) for job_id in jobs] == [None] * 3
