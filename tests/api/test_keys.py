"""Who may make, see, rotate and revoke which keys."""

from __future__ import annotations

import time
from typing import Any

import flask
import pytest

from api import auth
from knify import clock
from knify.core import Core
from knify.services import keys
from tests.api.parts import Api
from tests.parts.stack import eventually

Body = dict[str, Any]


def made(api: Api, **body: Any) -> Body:
    answer = api.post("/keys", body)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def admin(app: flask.Flask, core: Core, tenant: str = "acme", **more: Any) -> Api:
    return Api(app.test_client(), keys.create(core, tenant, scopes=("admin",), **more).text)


def test_a_key_is_what_was_asked_for(api: Api) -> None:
    key = made(
        api, name="ci", scopes=["read", "read"], tier="enterprise", limit_per_hour=50,
        expires_at="2035-01-31T10:00:00Z", mode="test",
    )  # fmt: skip

    shown = api.get(f"/keys/{key['id']}").get_json()

    assert key.pop("key").startswith(f"knify_test_{key['id']}_")
    assert key.pop("created_at") == shown.pop("created_at")
    assert key == shown == {
        "id": key["id"], "name": "ci", "tenant": "default", "mode": "test", "scopes": ["read"],
        "tier": "enterprise", "limit_per_hour": 50, "status": "active",
        "expires_at": "2035-01-31T10:00:00.000Z", "last_used_at": None, "rotated_at": None,
        "old_secret_until": None, "revoked_at": None,
    }  # fmt: skip


def test_defaults_are_read_and_write_of_the_default_tier(api: Api) -> None:
    key = made(api)

    assert (key["scopes"], key["tier"], key["limit_per_hour"]) == (
        ["read", "write"], "enterprise", None,
    )  # fmt: skip
    assert key["key"].startswith("knify_live_")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"tier": "gold"}, "tier"),
        ({"tier": "free", "limit_per_hour": 5}, "limit_per_hour"),
        ({"limit_per_hour": 0}, "limit_per_hour"),
        ({"limit_per_hour": 10**9}, "limit_per_hour"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59Z"}, "expires_at"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 1e-320}, "expires_in"),
        ({"expires_in": "١h"}, "expires_in"),
        ({"expires_in": " 1h"}, "expires_in"),
        ({"expires_in": "1h", "expires_at": "2035-01-01T00:00:00Z"}, "expires_in"),
        ({"mode": "prod"}, "mode"),
        ({"tenant": "a:b"}, "tenant"),
        ({"name": ""}, "name"),
        ({"limit": 5}, "limit"),
    ],
)
def test_what_is_wrong_is_named(api: Api, body: Body, field: str) -> None:
    answer = api.post("/keys", body)

    assert (answer.status_code, answer.get_json()["detail"]["field"]) == (400, field)


def test_test_keys_open_as_live_ones_do_but_not_under_the_others_name(
    api: Api, app: flask.Flask
) -> None:
    text = made(api, mode="test")["key"]

    assert Api(app.test_client(), text).get("/jobs").status_code == 200
    disguised = text.replace("knify_test_", "knify_live_")
    assert Api(app.test_client(), disguised).get("/jobs").status_code == 401


def test_keys_are_listed_in_pages_newest_first(api: Api, core: Core) -> None:
    own = api.get("/keys").get_json()[0]["id"]
    ids = [made(api, name=str(n))["id"] for n in range(4)]
    for n, key_id in enumerate([own, *ids]):  # made within one millisecond, they have no order
        core.store.client.hset(f"knify:k:{key_id}", "created_at", 1_000 + n)

    page = api.get("/keys?page=2&limit=2")

    assert [k["id"] for k in page.get_json()["data"]] == [ids[1], ids[0]]
    assert page.get_json()["pagination"] == {"page": 2, "limit": 2, "total": 5, "pages": 3}
    assert [k["id"] for k in api.get("/keys").get_json()] == [*reversed(ids), own]
    assert "digest" not in page.text


def test_a_stored_time_that_no_calendar_has_breaks_no_list(api: Api, core: Core) -> None:
    key_id = made(api)["id"]
    core.store.client.hset(f"knify:k:{key_id}", "expires_at", 10**18)

    shown = {k["id"]: k["expires_at"] for k in api.get("/keys").get_json()}

    assert shown[key_id] == "9999-12-31T23:59:59.000Z"


def test_an_expired_key_opens_nothing_and_its_record_goes_later(
    api: Api, app: flask.Flask, core: Core
) -> None:
    key = made(api, expires_in="1h")
    other = Api(app.test_client(), key["key"])
    assert other.get("/jobs").status_code == 200

    core.store.client.hset(f"knify:k:{key['id']}", "expires_at", clock.now_ms() - 1)
    app.extensions[auth.CACHE].forget(key["id"])

    assert other.get("/jobs").status_code == 401
    assert api.get(f"/keys/{key['id']}").get_json()["status"] == "expired"
    assert 0 < core.store.client.ttl(f"knify:k:{key['id']}") <= 30 * 86_400 + 3_600


def test_a_cached_key_ends_with_its_time(core: Core) -> None:
    now = 0.0
    cache = auth.Cache(lambda: now)
    key = keys.create(core, "default", expires_at=clock.now_ms() + 2_000)
    cache.authenticate(core, key.text)
    core.store.client.delete(f"knify:k:{key.record.id}")

    now = 2.1

    with pytest.raises(Exception, match="API key"):
        cache.authenticate(core, key.text)


def test_a_rotated_key_keeps_everything_but_its_secret(api: Api, app: flask.Flask) -> None:
    old = made(api, name="ci", tier="free")
    Api(app.test_client(), old["key"]).get("/jobs")

    new = api.post(f"/keys/{old['id']}/rotate").get_json()

    assert new["key"] != old["key"]
    assert new["rotated_at"] is not None
    assert {k: v for k, v in new.items() if k not in ("key", "rotated_at")} == {
        k: v for k, v in old.items() if k not in ("key", "rotated_at")
    }
    assert Api(app.test_client(), old["key"]).get("/jobs").status_code == 401
    answer = Api(app.test_client(), new["key"]).get("/jobs")
    assert answer.headers["X-RateLimit-Remaining"] == "98"


def test_with_grace_the_old_secret_opens_a_while_longer(
    api: Api, app: flask.Flask, core: Core
) -> None:
    old = made(api)
    new = api.post(f"/keys/{old['id']}/rotate", {"grace": "1h"}).get_json()
    both = [Api(app.test_client(), k["key"]) for k in (old, new)]
    assert [who.get("/jobs").status_code for who in both] == [200, 200]
    assert new["old_secret_until"] > new["rotated_at"]

    core.store.client.hset(f"knify:k:{old['id']}", "old_until", clock.now_ms() - 1)
    auth_cache = app.extensions[auth.CACHE]
    auth_cache.forget(old["id"])

    assert [who.get("/jobs").status_code for who in both] == [401, 200]
    assert api.post(f"/keys/{old['id']}/rotate", {"grace": "8d"}).status_code == 400


def test_a_revoked_key_cannot_be_rotated(api: Api) -> None:
    key = made(api)
    api.request("DELETE", f"/keys/{key['id']}")

    answer = api.post(f"/keys/{key['id']}/rotate")

    assert (answer.status_code, answer.get_json()["code"]) == (409, "KEY_GONE")


def test_of_two_rotations_in_one_moment_one_wins(core: Core) -> None:
    seen = keys.create(core, "default").record
    keys.rotate(core, "default", seen.id)

    with pytest.raises(Exception, match="rotated"):
        core.store.access.rotate_key(seen, "f" * 64, grace_ms=0)


def test_a_replayed_creation_and_rotation_show_the_same_secret(
    api: Api, app: flask.Flask, core: Core
) -> None:
    key = {"Idempotency-Key": "once"}
    first = api.post("/keys", {"name": "a"}, headers=key)
    again = api.post("/keys", {"name": "a"}, headers=key)
    path, key = f"/keys/{first.get_json()['id']}/rotate", {"Idempotency-Key": "twice"}
    turned = [api.post(path, {"grace": 60}, headers=key).get_json() for _ in range(2)]

    assert first.get_json() == again.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert turned[0] == turned[1]
    assert Api(app.test_client(), turned[0]["key"]).get("/jobs").status_code == 200
    assert first.get_json()["key"] not in str(core.store.client.keys("*"))


# Nothing beyond itself.


@pytest.mark.parametrize(
    ("maker", "wanted", "field"),
    [
        ({"tier": "free"}, {"tier": "pro"}, "tier"),
        ({"tier": "free"}, {"tier": "enterprise"}, "tier"),
        ({"tier": "free"}, {"tier": "enterprise", "limit_per_hour": 1}, "tier"),
        ({"tier": "pro"}, {"tier": "enterprise"}, "tier"),
        ({"tier": "enterprise", "limit_per_hour": 50}, {"limit_per_hour": 51}, "limit_per_hour"),
    ],
)
def test_a_key_makes_none_above_itself(
    app: flask.Flask, core: Core, maker: Body, wanted: Body, field: str
) -> None:
    answer = admin(app, core, **maker).post("/keys", wanted)

    assert (answer.status_code, answer.get_json()["detail"]["field"]) == (403, field)


def test_a_key_that_expires_makes_none_that_lasts_longer(app: flask.Flask, core: Core) -> None:
    soon = clock.now_ms() + 3_600_000
    api = admin(app, core, expires_at=soon)

    assert made(api)["expires_at"] == clock.rfc3339(soon)
    assert made(api, expires_in=60)["expires_at"] < clock.rfc3339(soon)
    assert api.post("/keys", {"expires_in": "2h"}).status_code == 403


def test_a_key_rotates_none_above_itself(app: flask.Flask, core: Core) -> None:
    api = admin(app, core, tier="free")
    above = keys.create(core, "acme", tier="enterprise").record.id
    equal = made(api, scopes=["admin"])["id"]

    assert api.post(f"/keys/{above}/rotate").status_code == 403
    assert api.post(f"/keys/{equal}/rotate").status_code == 200


def test_a_limited_key_gets_no_second_count_by_rotating_a_sibling(
    app: flask.Flask, core: Core
) -> None:
    api = admin(app, core, tier="free")
    sibling = keys.create(core, "acme", tier="free").record.id

    refused = api.post(f"/keys/{sibling}/rotate")

    assert refused.status_code == 403
    assert refused.get_json()["detail"] == {"field": "limit_per_hour"}


def test_the_keys_that_a_limited_one_makes_share_its_count(app: flask.Flask, core: Core) -> None:
    api = admin(app, core, tier="enterprise", limit_per_hour=10)
    child = Api(app.test_client(), made(api, scopes=["admin"])["key"])
    grandchild = Api(app.test_client(), made(child, limit_per_hour=3)["key"])
    assert api.get("/jobs").headers["X-RateLimit-Remaining"] == "7"

    answers = [grandchild.get("/jobs") for _ in range(4)]
    after = api.get("/jobs")

    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert answers[0].headers["X-RateLimit-Limit"] == "3"
    assert int(after.headers["X-RateLimit-Remaining"]) <= 3
    rest = [child.get("/jobs").status_code for _ in range(4)]
    assert rest[-1] == 429


def test_what_a_key_is_refused_takes_nothing_of_its_makers(app: flask.Flask, core: Core) -> None:
    api = admin(app, core, tier="enterprise", limit_per_hour=10)
    child = Api(app.test_client(), made(api, limit_per_hour=2)["key"])

    answers = [child.get("/jobs").status_code for _ in range(20)]

    assert answers == [200, 200] + [429] * 18
    assert api.get("/jobs").headers["X-RateLimit-Remaining"] == "6"


def test_without_a_wish_the_new_key_is_no_more_than_its_maker(app: flask.Flask, core: Core) -> None:
    key = made(admin(app, core, tier="free"))

    assert (key["tier"], key["limit_per_hour"]) == ("free", 100)


def test_limits_within_limits_have_an_end(app: flask.Flask, core: Core) -> None:
    api = admin(app, core, tier="enterprise", limit_per_hour=50)
    for limit in (49, 48, 47):
        api = Api(app.test_client(), made(api, scopes=["admin"], limit_per_hour=limit)["key"])

    assert api.post("/keys", {"limit_per_hour": 46}).status_code == 403
    assert api.post("/keys", {}).status_code == 200


def test_only_administrators_reach_keys(app: flask.Flask, core: Core) -> None:
    text = keys.create(core, "acme", scopes=("read", "write")).text
    api = Api(app.test_client(), text)
    key_id = text.split("_")[2]
    calls = [("POST", ""), ("GET", ""), ("GET", f"/{key_id}"), ("DELETE", f"/{key_id}")]

    answers = [
        api.request(m, f"/keys{path}") for m, path in [*calls, ("POST", f"/{key_id}/rotate")]
    ]

    assert {a.status_code for a in answers} == {403}


# Never the last one.


def test_the_last_lasting_admin_key_is_not_revoked_by_mistake(app: flask.Flask, core: Core) -> None:
    core.store.registry.installation(None)  # as each start makes sure of
    api = admin(app, core)
    own = api.key.split("_")[2]
    made(api)
    made(api, scopes=["admin"], expires_in="2d")

    refused = api.request("DELETE", f"/keys/{own}")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "LAST_ADMIN_KEY")

    made(api, scopes=["admin"], expires_in="30d")
    assert api.request("DELETE", f"/keys/{own}").status_code == 200
    assert api.get("/keys").status_code == 401


def test_with_force_even_the_last_admin_key_is_revoked(app: flask.Flask, core: Core) -> None:
    api = admin(app, core)

    assert api.request("DELETE", f"/keys/{api.key.split('_')[2]}?force=true").status_code == 200


def test_revoking_twice_changes_nothing(api: Api) -> None:
    key_id = made(api)["id"]
    api.request("DELETE", f"/keys/{key_id}")
    first = api.get(f"/keys/{key_id}").get_json()

    assert api.request("DELETE", f"/keys/{key_id}").status_code == 200

    assert api.get(f"/keys/{key_id}").get_json() == first
    assert first["status"] == "revoked"


def test_a_tenant_has_a_bounded_number_of_keys(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knify.store.access.MOST_KEYS", 3)
    ids = [made(api)["id"] for _ in range(2)]

    refused = api.post("/keys", {})
    core.store.client.delete(f"knify:k:{ids[0]}")  # as its time does it

    assert (refused.status_code, refused.get_json()["code"]) == (409, "TOO_MANY_KEYS")
    assert api.post("/keys", {}).status_code == 200
    assert len(api.get("/keys").get_json()) == 3


# Tenants.


def test_the_operator_makes_and_sees_keys_of_other_tenants(api: Api, app: flask.Flask) -> None:
    key = made(api, tenant="acme", scopes=["admin"])
    acme = Api(app.test_client(), key["key"])

    assert acme.get("/keys").get_json()[0]["tenant"] == "acme"
    assert [k["id"] for k in api.get("/keys?tenant=acme").get_json()] == [key["id"]]
    assert key["id"] not in api.get("/keys").text
    assert api.get(f"/keys/{key['id']}").status_code == 404
    assert api.get(f"/keys/{key['id']}?tenant=acme").status_code == 200
    assert api.post(f"/keys/{key['id']}/rotate?tenant=acme").status_code == 200
    assert api.request("DELETE", f"/keys/{key['id']}?tenant=acme&force=1").status_code == 200


def test_nobody_else_speaks_for_another_tenant_be_there_one_or_not(api: Api, stranger: Api) -> None:
    own = stranger.get("/keys").get_json()[0]["id"]
    for tenant in ("default", "nobody"):
        answers = [
            stranger.post("/keys", {"tenant": tenant}),
            stranger.get(f"/keys?tenant={tenant}"),
            stranger.get(f"/keys/{own}?tenant={tenant}"),
            stranger.post(f"/keys/{own}/rotate?tenant={tenant}"),
            stranger.request("DELETE", f"/keys/{own}?tenant={tenant}"),
        ]
        assert {(a.status_code, a.text) for a in answers} == {(403, answers[0].text)}
    assert stranger.post("/keys", {"tenant": "other"}).status_code == 200


def test_what_belongs_to_no_tenant_is_the_operators(api: Api, stranger: Api) -> None:
    calls = [("GET", "/nodes"), ("POST", "/nodes/n1/drain"), ("GET", "/sandboxes?orphans=1")]

    assert {stranger.request(*call).status_code for call in calls} == {403}
    assert api.get("/nodes").status_code == api.get("/sandboxes?orphans=1").status_code == 200


# When it was used.


def test_the_last_use_is_noted_soon_and_once_a_minute(
    api: Api, app: flask.Flask, core: Core
) -> None:
    key = made(api)
    other = Api(app.test_client(), key["key"])
    other.get("/jobs")

    def seen() -> Any:
        return api.get(f"/keys/{key['id']}").get_json()["last_used_at"]

    first = eventually(seen)
    core.store.access.used_keys([key["id"], "gone"])

    assert seen() == first
    assert core.store.client.exists("knify:k:gone") == 0
    core.store.client.hset(f"knify:k:{key['id']}", "last_used_at", 1)
    core.store.access.used_keys([key["id"]])
    assert abs(core.store.access.find_key(key["id"]).last_used_at / 1000 - time.time()) < 60
