"""Nodes in the API."""

from __future__ import annotations

from knify.core import Core
from tests.api.parts import Api


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
