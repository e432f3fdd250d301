from __future__ import annotations

from typing import Any

import flask
import pytest

from api import app as app_module
from api import auth
from knify.core import Core
from knify.services import keys
from tests.api.parts import COMMAND, MANIFEST, Api, Worker, archive, rules


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer wrong", "Bearer knify_live_a_b"],
)
def test_without_a_valid_key_nothing_is_told(api: Api, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}

    answer = api.client.get("/jobs", headers=headers)

    assert (answer.status_code, answer.get_json()["code"]) == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_where_redis_has_lost_all_keys_no_key_is_to_blame(api: Api, core: Core) -> None:
    core.store.client.flushall()

    answer = api.get("/jobs")

    assert (answer.status_code, answer.get_json()["code"]) == (503, "STORE_EMPTY")
    assert "start Knify anew" in answer.get_json()["error"]
    core.store.registry.installation(None)  # as the next start does
    assert api.get("/jobs").status_code == 401


def test_a_key_in_the_url_opens_nothing(api: Api) -> None:
    assert api.client.get(f"/jobs?token={api.key}&api_key={api.key}").status_code == 401


def test_every_route_says_what_key_it_needs(app: flask.Flask) -> None:
    scopes = {name: auth.scope_of(view) for name, view in app.view_functions.items()}

    assert set(scopes.values()) == {auth.PUBLIC, "read", "write", "admin", auth.OPERATOR}
    public = {name for name, scope in scopes.items() if scope == auth.PUBLIC}
    assert all(name.startswith(("health.", "documentation.", "console.")) for name in public)


@pytest.mark.parametrize(
    ("scopes", "read", "write", "admin"),
    [(("read",), 200, 403, 403), (("write",), 403, 200, 403), (("admin",), 200, 200, 200)],
)
def test_a_key_opens_what_its_scopes_say(
    app: flask.Flask, core: Core, scopes: tuple[str, ...], read: int, write: int, admin: int
) -> None:
    api = Api(app.test_client(), keys.create(core, "default", scopes=scopes).text)

    assert api.get("/jobs").status_code == read
    assert api.post("/jobs", {"spec": COMMAND}).status_code == write
    assert api.get("/keys").status_code == admin


def test_a_missing_scope_is_said_before_the_body_is_read(app: flask.Flask, core: Core) -> None:
    api = Api(app.test_client(), keys.create(core, "default", scopes=("read",)).text)

    assert api.post("/jobs", {"nonsense": 1}).get_json()["code"] == "FORBIDDEN"


def test_foreign_ids_answer_like_ids_that_do_not_exist(
    api: Api, stranger: Api, worker: Worker
) -> None:
    job_id = api.submit()
    worker.keep(job_id, {"a.txt": b"a"})
    worker.finish(worker.run(job_id))
    ws = api.upload(archive({"a": b"a"})).get_json()["workspace_id"]
    key_id = api.post("/keys", {}).get_json()["id"]
    body = {"json": {"spec": COMMAND}}
    calls: list[tuple[str, str, str, dict[str, Any]]] = [
        ("GET", "/jobs/{}", job_id, {}),
        ("GET", "/jobs/{}/events", job_id, {}),
        ("GET", "/jobs/{}/events/stream", job_id, {}),
        ("GET", "/jobs/{}/output/stream", job_id, {"headers": {"Last-Event-ID": "99"}}),
        ("GET", "/jobs/{}/artifacts", job_id, {}),
        ("GET", "/jobs/{}/artifacts/a.txt", job_id, {}),
        ("POST", "/jobs/{}/continue", job_id, body),
        ("POST", "/jobs/{}/cancel", job_id, {}),
        ("POST", "/jobs/{}/cleanup?force=true", job_id, {}),
        ("GET", "/workspaces/{}", ws, {}),
        ("GET", "/workspaces/{}/download", ws, {}),
        ("DELETE", "/workspaces/{}", ws, {}),
        ("GET", "/keys/{}", key_id, {}),
        ("POST", "/keys/{}/rotate", key_id, {}),
        ("DELETE", "/keys/{}", key_id, {}),
    ]
    for method, path, real, more in calls:
        made_up = real[:-3] + "zzz"
        foreign = stranger.request(method, path.format(real), **more)
        missing = stranger.request(method, path.format(made_up), **more)
        assert foreign.status_code == missing.status_code == 404, path
        assert foreign.text == missing.text.replace(made_up, real), path
    assert stranger.get("/jobs").get_json() == stranger.get("/workspaces").get_json() == []
    assert api.get(f"/workspaces/{ws}").status_code == 200


def test_no_route_tells_foreign_ids_from_ids_that_do_not_exist(
    app: flask.Flask, api: Api, stranger: Api, worker: Worker
) -> None:
    """Whatever routes there are: each is asked for a real and for a made-up id, by a stranger."""
    job_id = api.submit()
    worker.finish(worker.run(job_id))
    hook = {"url": "https://example.com/hook", "events": ["job.completed"]}
    known = {
        "job_id": job_id,
        "sandbox_id": api.get(f"/jobs/{job_id}").get_json()["sandbox_id"],
        "workspace_id": api.upload(archive({"a": b"a"})).get_json()["workspace_id"],
        "webhook_id": api.post("/webhooks", hook).get_json()["webhook_id"],
        "key_id": api.post("/keys", {}).get_json()["id"],
        "task_id": api.post("/api/v1/tasks", MANIFEST).get_json()["task_id"],
    }
    tried = set()
    for rule in rules(app):
        own = next((name for name in rule.arguments if name in known), None)
        for method in sorted(rule.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            if own is None:
                assert not any(name.endswith("_id") for name in rule.arguments), rule
                continue
            others = {name: "x" for name in rule.arguments if name != own}
            made_up = known[own][:-3] + "zzz"
            bodies = {"POST": {"json": {"spec": COMMAND}}, "PATCH": {"json": {}}}
            paths = [
                rule.rule.replace("path:", "").replace("<", "{").replace(">", "}").format(
                    **others, **{own: value}
                )
                for value in (known[own], made_up)
            ]  # fmt: skip
            foreign, missing = (
                stranger.request(method, path, **bodies.get(method, {})) for path in paths
            )
            assert foreign.status_code == missing.status_code, (method, rule)
            assert foreign.text == missing.text.replace(made_up, known[own]), (method, rule)
            assert 400 <= foreign.status_code < 500, (method, rule, foreign.text)
            tried.add(own)
    assert tried == set(known)


def test_a_key_is_shown_once_and_opens_nothing_once_revoked(api: Api) -> None:
    made = api.post("/keys", {"name": "ci", "scopes": ["read", "read"]}).get_json()
    other = Api(api.client, made["key"])
    assert other.get("/jobs").status_code == 200
    listed = api.get("/keys")
    assert made["key"] not in listed.text
    assert "digest" not in listed.text
    assert made["scopes"] == ["read"]

    assert api.request("DELETE", f"/keys/{made['id']}").status_code == 200

    assert other.get("/jobs").status_code == 401


def test_a_known_key_costs_no_round_trip_for_five_seconds(core: Core) -> None:
    now = 0.0
    cache = auth.Cache(lambda: now)
    made = keys.create(core, "default")
    assert cache.authenticate(core, made.text) == made.record
    keys.revoke(core, "default", made.record.id)

    assert cache.authenticate(core, made.text) == made.record
    now = auth.CACHE_SECONDS + 0.1

    with pytest.raises(Exception, match="API key"):
        cache.authenticate(core, made.text)


def test_without_keys_everybody_on_this_machine_is_the_default_tenant(core: Core) -> None:
    client = app_module.create_app(core, no_auth=True).test_client()

    assert client.post("/jobs", json={"spec": COMMAND}).status_code == 200
    assert client.get("/keys").status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
def test_without_keys_a_page_of_another_origin_is_refused(
    core: Core, headers: dict[str, str]
) -> None:
    client = app_module.create_app(core, no_auth=True).test_client()

    assert client.get("/jobs", headers=headers).status_code == 403
