"""Nodes in the API."""

from __future__ import annotations

from knify.core import Core
from knify.store import keys
from tests.api.parts import Api, Worker


def beat(core: Core, name: str) -> None:
    core.store.registry.heartbeat(name, {"slots": 3}, 2**41)


def test_a_node_is_listed_drained_and_undrained(api: Api, core: Core) -> None:
    beat(core, "n")

    assert [row["state"] for row in api.get("/nodes").get_json()] == ["up"]
    drained = api.post("/nodes/n/drain").get_json()
    again = api.post("/nodes/n/drain").get_json()

    assert drained["state"] == "drained"
    assert (drained["slots"], drained["archived"]) == (3, 0)
    assert again["draining_since"] == drained["draining_since"]
    assert api.post("/nodes/n/undrain").get_json()["state"] == "up"


def test_a_node_is_cordoned_and_uncordoned(api: Api, core: Core) -> None:
    beat(core, "n")

    cordoned = api.post("/nodes/n/cordon").get_json()
    again = api.post("/nodes/n/cordon").get_json()

    assert (cordoned["state"], cordoned["draining_since"]) == ("cordoned", None)
    assert again["cordoned_since"] == cordoned["cordoned_since"] is not None
    assert api.post("/nodes/n/uncordon").get_json()["state"] == "up"
    assert api.post("/nodes/nowhere/cordon").status_code == 404


def test_nodes_are_for_administrators_and_an_unknown_one_is_not_found(api: Api, core: Core) -> None:
    key = api.post("/keys", {"scopes": ["read", "write"]}).get_json()["key"]
    plain = Api(api.client, key)

    assert plain.get("/nodes").status_code == 403
    assert plain.post("/nodes/n/drain").status_code == 403
    assert api.post("/nodes/nowhere/drain").status_code == 404


def test_a_foreign_sandbox_cannot_be_archived(api: Api, stranger: Api, core: Core) -> None:
    job = api.get(f"/jobs/{api.submit()}").get_json()

    assert stranger.post(f"/sandboxes/{job['sandbox_id']}/archive").status_code == 404
    assert api.post(f"/sandboxes/{job['sandbox_id']}/archive").get_json()["code"] == "SANDBOX_BUSY"


def finished(api: Api, worker: Worker) -> str:
    """A job whose sandbox rests on the worker's node; its id."""
    job_id = api.submit()
    worker.finish(worker.run(job_id))
    return job_id


def gone(core: Core, name: str = "n1") -> None:
    """Its last heartbeat was a minute ago."""
    core.store.client.delete(f"{keys.node(name)}:beat")


def test_a_node_with_a_waiting_job_is_not_drained(api: Api, worker: Worker, core: Core) -> None:
    beat(core, "n1")
    job_id = finished(api, worker)
    answer = api.post(
        f"/jobs/{job_id}/continue", {"spec": {"job_type": "command_task", "command": "true"}}
    )

    listed = api.post("/nodes/n1/drain").get_json()

    assert answer.status_code == 200, answer.text
    assert (listed["state"], listed["sandboxes"], listed["paused"]) == ("draining", 1, 0)


def test_a_node_that_is_gone_is_forgotten(api: Api, core: Core) -> None:
    core.store.registry.heartbeat("n1", {"slots": 3, "images": ["a:1"]}, 2**41)
    api.post("/nodes/n1/drain")
    alive = api.request("DELETE", "/nodes/n1")
    gone(core)

    assert (alive.status_code, alive.get_json()["code"]) == (409, "NODE_ALIVE")
    assert api.request("DELETE", "/nodes/n1").get_json() == {"success": True}
    assert api.get("/nodes").get_json() == []
    assert core.store.meter.read().nodes == []
    assert core.store.client.keys("knify:node:*") == []
    assert api.request("DELETE", "/nodes/n1").status_code == 404


def test_a_node_that_has_something_is_forgotten_by_force_alone(
    api: Api, worker: Worker, core: Core
) -> None:
    beat(core, "n1")
    job = api.get(f"/jobs/{finished(api, worker)}").get_json()
    gone(core)

    refused = api.request("DELETE", "/nodes/n1")
    forced = api.request("DELETE", "/nodes/n1?force=true")

    assert (refused.status_code, refused.get_json()["code"]) == (409, "NODE_IN_USE")
    assert refused.get_json()["detail"]["sandboxes"] == 1
    assert "1 sandboxes" in refused.get_json()["error"]
    assert forced.get_json() == {"success": True}
    assert api.get(f"/sandboxes/{job['sandbox_id']}").get_json()["state"] == "lost"


def test_a_node_whose_job_has_not_ended_is_not_forgotten(
    api: Api, worker: Worker, core: Core
) -> None:
    beat(core, "n1")
    worker.run(api.submit())
    gone(core)

    refused = api.request("DELETE", "/nodes/n1?force=true")

    assert refused.get_json()["detail"]["active"] == 1
