from __future__ import annotations

from typing import Any

import pytest

from knify import clock
from knify.core import Core
from tests.api.parts import COMMAND, Api, Worker

GIB = 1024**3


@pytest.fixture
def node(core: Core) -> dict[str, Any]:
    """One living node, and what it says."""
    facts = {
        "podman": "ok", "images": [], "slots": 8,
        "cpus": 2, "cpu_overcommit": 4, "memory": GIB, "disk": 20 * GIB,
    }  # fmt: skip
    core.store.registry.heartbeat("n1", facts, clock.now_ms())
    return facts


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize(
    ("field", "value", "requested", "available"),
    [
        ("memory", "8G", 8 * GIB, GIB),
        ("disk", "1T", 1024 * GIB, 20 * GIB),
        ("cpus", 9, 9.0, 8),
    ],
)
def test_what_no_node_can_ever_hold_is_refused(
    api: Api, field: str, value: Any, requested: float, available: float
) -> None:
    answer = api.post("/jobs", {"spec": COMMAND | {field: value}})

    assert (answer.status_code, answer.get_json()["code"]) == (507, "INSUFFICIENT_RESOURCES")
    detail = answer.get_json()["detail"]
    assert (detail["requested"][field], detail["available"][field]) == (requested, available)
    assert f"{field}: " in answer.get_json()["error"]
    assert api.get("/jobs").get_json() == []


@pytest.mark.usefixtures("node")
def test_a_default_is_cut_to_the_size_of_a_node_and_a_written_value_is_not(
    api: Api, core: Core
) -> None:
    plain, small = api.submit(), api.submit(memory="64M")

    got = [
        core.store.executions.get(job_id, tenant="default").spec.resources
        for job_id in (plain, small)
    ]
    assert [(r.memory, r.cpus, r.disk) for r in got] == [
        (GIB, 2.0, 10 * GIB),
        (64 * 1024**2, 2.0, 10 * GIB),
    ]
    assert api.post("/jobs", {"spec": COMMAND | {"memory": "2G"}}).status_code == 507


def test_among_several_nodes_one_that_holds_all_that_is_written_is_enough(
    api: Api, core: Core, node: dict[str, Any]
) -> None:
    core.store.registry.heartbeat("n2", node | {"memory": 9 * GIB, "disk": GIB}, clock.now_ms())

    big = api.submit(memory="8G")

    assert core.store.executions.get(big, tenant="default").spec.resources.disk == GIB
    assert api.post("/jobs", {"spec": COMMAND | {"memory": "8G", "disk": "2G"}}).status_code == 507


def test_without_a_living_node_a_job_of_any_size_is_accepted_and_says_that(api: Api) -> None:
    job = api.get(f"/jobs/{api.submit(memory='900G')}").get_json()

    assert (job["status"], job["pending_reason"]) == ("pending", "no node is there")


@pytest.mark.usefixtures("node")
def test_a_pending_job_says_what_it_waits_for(
    api: Api, core: Core, worker: Worker, node: dict[str, Any]
) -> None:
    first, second = api.submit(), api.submit()
    running = worker.run(first)
    claim = core.store.executions.claim(
        second, owner="host/boot/1/1", node="n1", lease_ms=60_000, slots=8
    )
    assert claim.verdict == "full"

    def reason() -> str:
        return str(api.get(f"/jobs/{second}").get_json()["pending_reason"])

    assert reason() == "memory: needs 1.0 GiB, 0 B free on n1"
    core.store.registry.heartbeat("n1", node | {"slots": 1}, clock.now_ms())
    assert reason() == "no free slot on n1"
    core.store.registry.heartbeat("n1", node | {"low_disk": "low disk on n1: …"}, clock.now_ms())
    assert reason() == "low disk on n1: …"
    core.store.registry.heartbeat("n1", node, clock.now_ms())
    worker.finish(running)
    assert "pending_reason" not in api.get(f"/jobs/{first}").get_json()
    worker.run(second)
    assert "pending_reason" not in api.get(f"/jobs/{second}").get_json()


def test_a_continuation_that_its_node_can_hold_no_more_is_refused(
    api: Api, core: Core, worker: Worker, node: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.submit()
    worker.finish(worker.run(first))
    core.store.registry.heartbeat("n1", node | {"memory": GIB // 2}, clock.now_ms())
    core.store.registry.heartbeat("n2", node, clock.now_ms())
    monkeypatch.setattr(core.store.registry, "recent_nodes", core.store.registry.nodes)

    assert api.post(f"/jobs/{first}/continue", {"spec": COMMAND}).status_code == 507


def test_ready_says_when_every_node_is_low_on_disk(
    api: Api, core: Core, node: dict[str, Any]
) -> None:
    low = node | {"low_disk": "low disk on n1: 1.0 GiB free, 2.0 GiB reserved"}
    core.store.registry.heartbeat("n1", low, clock.now_ms())

    answer = api.get("/api/v1/health/ready")

    assert answer.status_code == 503
    assert answer.get_json()["detail"]["disk"] == low["low_disk"]
    core.store.registry.heartbeat("n2", node, clock.now_ms())
    assert api.get("/api/v1/health/ready").status_code == 200


def test_a_job_says_that_all_nodes_drain(api: Api, core: Core) -> None:
    core.store.registry.heartbeat("n1", {"slots": 3}, clock.now_ms())
    core.store.registry.drain("n1", True)

    job = api.get(f"/jobs/{api.submit()}").get_json()

    assert job["pending_reason"].startswith("all nodes are draining")
