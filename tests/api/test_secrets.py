"""Secrets that Knify keeps for tenants: in, listed, named by jobs, never out."""

from __future__ import annotations

from typing import Any

import flask
import pytest

from knify import errors
from knify.core import Core
from knify.services import keys, secrets
from knify.store import secrets as store
from tests.api.parts import COMMAND, MANIFEST, Api

VALUE = "s3cr3t-value-of-mine"
REF = {"name": "TOKEN", "source": "vault", "key": "team.token"}


def other(app: flask.Flask, core: Core, **more: Any) -> Api:
    return Api(app.test_client(), keys.create(core, "acme", **more).text)


def put(api: Api, name: str = "team.token", value: str = VALUE) -> Any:
    answer = api.request("PUT", f"/secrets/{name}", json={"value": value})
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def test_no_answer_and_nothing_in_redis_holds_a_value(api: Api, core: Core) -> None:
    made = put(api)
    changed = put(api, value=f"{VALUE}-2")

    shown = [api.get("/secrets/team.token"), api.get("/secrets")]

    assert made["created_at"] == changed["created_at"] <= changed["updated_at"]
    assert shown[0].get_json() == changed
    assert shown[1].get_json() == [changed]
    assert secrets.value(core, "default", "team.token") == f"{VALUE}-2"
    client = core.store.client
    held = "".join(str(client.hgetall(key)) for key in client.scan_iter("knify:t:*:secrets*"))
    assert "team.token" in held
    assert VALUE not in held


def test_a_secret_that_was_deleted_is_gone(api: Api, core: Core) -> None:
    put(api)

    assert api.request("DELETE", "/secrets/team.token").get_json() == {"success": True}

    assert api.request("DELETE", "/secrets/team.token").status_code == 404
    assert api.get("/secrets/team.token").status_code == 404
    assert core.store.client.keys("knify:t:default:secrets*") == []


@pytest.mark.parametrize(
    ("name", "value", "field", "why"),
    [
        ("a b", VALUE, "name", "letters, digits"),
        (".a", VALUE, "name", "letters, digits"),
        ("a" * 129, VALUE, "name", "1 to 128"),
        ("a", "1234567", "value", "shorter than 8 bytes"),
        ("a", "x" * 16_385, "value", "longer than 16.0 KiB"),
        ("a", "12345678\0", "value", "NUL"),
        ("a", 12345678, "value", "string"),
    ],
)
def test_what_could_never_be_given_is_refused_and_not_repeated(
    api: Api, name: str, value: Any, field: str, why: str
) -> None:
    answer = api.request("PUT", f"/secrets/{name}", json={"value": value})

    assert answer.status_code == 400
    assert answer.get_json()["detail"]["field"] == field
    assert why in answer.get_json()["error"]
    assert str(value)[:8] not in answer.text


def test_a_tenant_sees_and_names_its_own_only(app: flask.Flask, api: Api, core: Core) -> None:
    put(api)
    acme = other(app, core)

    unknown = acme.get("/secrets/none").get_json()
    foreign = acme.get("/secrets/team.token")
    named = acme.post("/jobs", {"spec": COMMAND | {"secrets": [REF]}})

    assert foreign.status_code == 404
    assert foreign.get_json()["error"].replace("team.token", "none") == unknown["error"]
    assert acme.get("/secrets").get_json() == []
    assert named.get_json()["detail"]["field"] == "spec.secrets.0.key"
    assert acme.request("DELETE", "/secrets/team.token").status_code == 404


def test_reading_lists_and_writing_changes(app: flask.Flask, api: Api, core: Core) -> None:
    reader = other(app, core, scopes=("read",))

    assert reader.get("/secrets").status_code == 200
    assert reader.request("PUT", "/secrets/a", json={"value": VALUE}).status_code == 403
    assert reader.request("DELETE", "/secrets/a").status_code == 403


def test_a_job_that_names_what_nobody_keeps_is_refused_at_once(api: Api) -> None:
    missing = REF | {"name": "OTHER", "key": "none"}
    put(api)

    refused = api.post("/jobs", {"spec": COMMAND | {"secrets": [REF, missing]}})
    task = api.post("/api/v1/tasks", MANIFEST | {"secrets": [missing]})

    assert refused.status_code == 400
    assert refused.get_json()["detail"]["field"] == "spec.secrets.1.key"
    assert "PUT /secrets/none" in refused.get_json()["error"]
    assert task.status_code == 400
    assert task.get_json()["details"]["field"] == "secrets.0.key"


def test_a_job_and_a_task_show_their_secrets_by_name(api: Api) -> None:
    put(api)

    job = api.get(f"/jobs/{api.submit(secrets=[REF])}").get_json()
    task = api.post("/api/v1/tasks", MANIFEST | {"secrets": [REF]}).get_json()
    definition = api.get(f"/api/v1/tasks/{task['task_id']}").get_json()["definition"]

    assert job["spec"]["secrets"] == [REF]
    assert definition["secrets"] == [REF]


def test_a_sealed_value_that_was_moved_opens_nothing(api: Api, core: Core) -> None:
    put(api)
    sealed = core.store.secrets.sealed("default", "team.token")
    assert sealed is not None
    core.store.secrets.put("acme", "team.token", sealed)
    core.store.secrets.put("default", "other", sealed)

    for tenant, name in (("acme", "team.token"), ("default", "other")):
        with pytest.raises(errors.ObjectStoreError, match="another name or tenant"):
            secrets.value(core, tenant, name)


def test_there_is_a_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST", 2)
    put(api, "a")
    put(api, "b")

    refused = api.request("PUT", "/secrets/c", json={"value": VALUE})

    assert (refused.status_code, refused.get_json()["code"]) == (409, "SECRET_LIMIT")
    assert put(api, "b", "another value")["name"] == "b"
