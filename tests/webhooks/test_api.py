"""Webhooks over the API: what is taken, what is refused, what is shown."""

from __future__ import annotations

from typing import Any

import flask
import pytest

from knify import egress
from knify.core import Core
from knify.services import keys
from knify.store.webhooks import Result
from tests.api.conftest import api, app, config, core, stranger, worker
from tests.api.parts import Api, Worker
from tests.egress.test_notations import INTERNAL, MISLEADING

__all__ = ["api", "app", "config", "core", "stranger", "worker"]
URL = "https://8.8.8.8/hook"


def made(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/webhooks", {"url": URL} | body)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def test_the_documented_request_registers_a_webhook(api: Api) -> None:
    body = {
        "url": "https://your-domain.com/webhooks/knify",
        "events": ["job.completed", "job.failed"],
        "secret": "your_webhook_secret",
    }

    answer = api.post("/webhooks", body)

    shown = answer.get_json()
    assert answer.status_code == 200
    assert shown["webhook_id"].startswith("webhook_")
    assert (shown["url"], shown["events"]) == (body["url"], body["events"])
    assert (shown["active"], shown["waiting"], shown["failing_since"]) == (True, 0, None)
    assert "secret" not in shown
    assert "your_webhook_secret" not in api.get("/webhooks").text


def test_a_secret_that_is_made_here_is_shown_once(api: Api, core: Core) -> None:
    first, second = made(api), made(api)

    assert first["secret"].startswith("whsec_")
    assert first["secret"] != second["secret"]
    for path in ("/webhooks", f"/webhooks/{first['webhook_id']}"):
        assert "whsec_" not in api.get(path).text
    held = core.store.client.hgetall(f"knify:h:{first['webhook_id']}")
    assert first["secret"] not in str(held)
    assert core.sealed.unseal(held["secret"]) == first["secret"]
    assert first["events"] == [
        "job.created", "job.started", "job.completed", "job.failed", "job.cancelled",
    ]  # fmt: skip


def test_the_same_idempotency_key_makes_one_webhook_with_one_secret(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}

    first = api.post("/webhooks", {"url": URL}, headers=headers)
    again = api.post("/webhooks", {"url": URL}, headers=headers)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == first.get_json()
    assert len(api.get("/webhooks").get_json()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": 7},
        {"url": URL, "events": []},
        {"url": URL, "events": "job.created"},
        {"url": URL, "events": ["job.paused"]},
        {"url": URL, "events": ["job.created", 1]},
        {"url": URL, "secret": ""},
        {"url": URL, "secret": "short"},
        {"url": URL, "secret": "x" * 201},
        {"url": URL, "secret": "sécrétsécrét"},
        {"url": URL, "secret": "whsec_!!!!"},
        {"url": URL, "secret": "whsec_AAAAA"},
        {"url": URL, "name": ""},
        {"url": URL, "evnts": ["job.created"]},
        {"url": URL, "active": False},
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any]) -> None:
    answer = api.post("/webhooks", body)

    field = next(
        (name for name in ("evnts", "active", "events", "secret", "name") if name in body), "url"
    )
    assert answer.status_code == 400
    assert answer.get_json()["detail"]["field"].split(".")[0] == field
    assert answer.get_json()["code"] in ("BAD_REQUEST", "EGRESS_REFUSED")
    assert api.get("/webhooks").get_json() == []


def test_internal_targets_are_refused_in_every_notation(api: Api) -> None:
    for url in [*INTERNAL, *MISLEADING]:
        if not url.isprintable() or not 0 < len(url) <= 2048 or "\ud800" in url:
            continue
        answer = api.post("/webhooks", {"url": url})
        assert (answer.status_code, answer.get_json()["code"]) == (400, "EGRESS_REFUSED"), url
        assert answer.get_json()["detail"] == {"field": "url"}
    hook = made(api)["webhook_id"]
    refused = api.request("PATCH", f"/webhooks/{hook}", json={"url": "http://127.0.0.1/"})
    assert refused.status_code == 400
    assert len(api.get("/webhooks").get_json()) == 1


def test_nobody_is_asked_for_a_name_when_it_is_registered(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(egress.socket, "getaddrinfo", lambda *args, **_: asked.append(args) or [])

    hook = made(api, url="https://hangs.example.com/")["webhook_id"]
    answer = api.request("PATCH", f"/webhooks/{hook}", json={"url": "https://too.example.com/"})

    assert answer.status_code == 200
    assert asked == []


def test_a_webhook_is_changed_field_by_field(api: Api, core: Core) -> None:
    hook = made(api, name="first")["webhook_id"]

    def patch(**fields: Any) -> Any:
        return api.request("PATCH", f"/webhooks/{hook}", json=fields).get_json()

    assert patch(events=["job.failed", "job.failed"])["events"] == ["job.failed"]
    assert patch(url="https://8.8.4.4/")["url"] == "https://8.8.4.4/"
    assert patch(active=False)["active"] is False
    assert patch(active=1)["code"] == "BAD_REQUEST"
    assert patch(secret="another_secret")["name"] == "first"
    assert core.sealed.unseal(core.store.client.hget(f"knify:h:{hook}", "secret")) == (
        "another_secret"
    )
    assert patch() == api.get(f"/webhooks/{hook}").get_json()


def test_a_deleted_webhook_is_gone_with_all_its_keys(api: Api, core: Core) -> None:
    hook = made(api)["webhook_id"]
    api.submit()

    assert api.request("DELETE", f"/webhooks/{hook}").get_json() == {"success": True}

    assert api.get(f"/webhooks/{hook}").status_code == 404
    assert api.request("DELETE", f"/webhooks/{hook}").status_code == 404
    client = core.store.client
    assert list(client.scan_iter("knify:h:*")) == list(client.scan_iter("knify:webhooks:*")) == []


def test_deliveries_are_shown_in_pages_newest_first(api: Api, core: Core, worker: Worker) -> None:
    hook = made(api)["webhook_id"]
    job = api.submit()
    worker.finish(worker.run(job))
    store = core.store.webhooks
    (one,) = store.claim(9, 9, lease_ms=9_000, token="t").claimed
    failed = Result("{}", 12, 503, "answered 503")
    store.end(one, "t", failed, delay_ms=5_000, limit_ms=86_400_000)

    page = api.get(f"/webhooks/{hook}/deliveries?page=2&limit=2")
    whole = api.get(f"/webhooks/{hook}/deliveries")

    rows = whole.get_json()
    assert {row["type"] for row in rows} == {"job.completed", "job.started", "job.created"}
    assert rows == sorted(rows, key=lambda row: row["created_at"], reverse=True)
    assert whole.headers["X-Total-Count"] == "3"
    assert page.get_json()["pagination"] == {"page": 2, "limit": 2, "total": 3, "pages": 2}
    assert page.get_json()["data"] == rows[2:]
    first = next(row for row in rows if row["type"] == "job.created")
    assert first["delivery_id"] == f"evt_{job}_created"
    assert (first["status"], first["attempts"], first["job_id"]) == ("pending", 1, job)
    assert (first["response_code"], first["duration_ms"]) == (503, 12)
    assert first["error"] == "answered 503"
    assert first["next_attempt_at"] > first["last_attempt_at"]
    shown = api.get(f"/webhooks/{hook}").get_json()
    assert shown["waiting"] == 3
    assert shown["failing_since"] is not None


def test_a_test_is_a_delivery_and_can_be_sent_again(api: Api, core: Core) -> None:
    hook = made(api, events=["job.failed"])["webhook_id"]

    sent = api.post(f"/webhooks/{hook}/test").get_json()

    assert (sent["type"], sent["job_id"], sent["status"]) == ("webhook.test", None, "pending")
    (one,) = core.store.webhooks.claim(9, 9, lease_ms=9_000, token="t").claimed
    core.store.webhooks.end(one, "t", Result("{}", 1, 200), delay_ms=1, limit_ms=1)
    path = f"/webhooks/{hook}/deliveries/{sent['delivery_id']}/redeliver"
    assert api.post(path).get_json()["status"] == "pending"
    assert api.post(path.replace(sent["delivery_id"], "evt_none")).status_code == 404
    api.request("PATCH", f"/webhooks/{hook}", json={"active": False})
    assert api.post(path).get_json()["code"] == "WEBHOOK_INACTIVE"
    assert api.post(f"/webhooks/{hook}/test").status_code == 409


def test_the_twenty_first_webhook_is_refused_with_the_cure(api: Api) -> None:
    for _ in range(20):
        made(api)

    answer = api.post("/webhooks", {"url": URL})

    assert (answer.status_code, answer.get_json()["code"]) == (409, "WEBHOOK_LIMIT")
    assert "delete" in answer.get_json()["error"]


def test_foreign_webhooks_answer_like_ones_that_do_not_exist(api: Api, stranger: Api) -> None:
    hook = made(api)["webhook_id"]
    sent = api.post(f"/webhooks/{hook}/test").get_json()["delivery_id"]
    for method, path, body in (
        ("GET", "/webhooks/{}", None),
        ("PATCH", "/webhooks/{}", {"active": False}),
        ("DELETE", "/webhooks/{}", None),
        ("POST", "/webhooks/{}/test", None),
        ("GET", "/webhooks/{}/deliveries", None),
        ("POST", "/webhooks/{}/deliveries/" + sent + "/redeliver", None),
    ):
        made_up = hook[:-3] + "zzz"
        foreign = stranger.request(method, path.format(hook), json=body)
        missing = stranger.request(method, path.format(made_up), json=body)
        assert foreign.status_code == missing.status_code == 404, path
        assert foreign.text == missing.text.replace(made_up, hook)
    assert stranger.get("/webhooks").get_json() == []
    assert api.get(f"/webhooks/{hook}").get_json()["active"] is True


def test_reading_needs_read_and_changing_needs_write(app: flask.Flask, core: Core) -> None:
    reader = Api(app.test_client(), keys.create(core, "default", scopes=("read",)).text)
    writer = Api(app.test_client(), keys.create(core, "default", scopes=("write",)).text)
    hook = made(writer)["webhook_id"]

    assert reader.get(f"/webhooks/{hook}/deliveries").status_code == 200
    assert reader.post("/webhooks", {"url": URL}).status_code == 403
    assert reader.request("DELETE", f"/webhooks/{hook}").status_code == 403
    assert writer.get("/webhooks").status_code == 403
