"""Every page of the console, asked for what is another tenant's, and by keys that may less."""

from __future__ import annotations

import re
from collections.abc import Iterator

import flask
import pytest
from werkzeug.routing import Rule

from api import auth
from knify.core import Core
from knify.services import keys, schedules
from tests.api.parts import Api, archive
from tests.console import told
from tests.console.parts import Pages

PLACES = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")


def rules(app: flask.Flask) -> Iterator[tuple[Rule, str]]:
    """Those of pages with something in their address, with each method."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.endpoint.startswith("console.") and auth.scope_of(view) != auth.PUBLIC:
            for method in sorted((rule.methods or set()) & {"GET", "POST"}):
                yield rule, method


@pytest.fixture
def theirs(api: Api, core: Core) -> dict[str, str]:
    """What is in a place of an address: one of each of the tenant `default`."""
    job = api.submit()
    x = told.end(core, told.lines(core, told.running(core, job), ["one"]), {"a.txt": b"hello"})
    workspace = api.upload(archive({"a": b"1"}), name="demo").get_json()
    hook = api.post("/webhooks", {"url": "https://hooks.example.com/x"}).get_json()["webhook_id"]
    sent = api.post(f"/webhooks/{hook}/test").get_json()
    key = keys.create(core, "default").record.id
    body = {"name": "daily", "command": "date"}
    definition = schedules.create(core, "default", "reports", body, id="jobdef_1")
    run = schedules.trigger(core, definition, {}, id="run_1").id
    return {
        "job_id": job, "sandbox_id": str(x.sandbox_id), "name": "demo", "key_id": key,
        "workspace_id": workspace["workspace_id"], "webhook_id": hook,
        "delivery_id": str(next(v for k, v in sent.items() if "delivery" in k)),
        "project": "reports", "definition_id": definition.id, "run_id": run,
        "seq": "1", "n": "0", "action": "drain",
    }  # fmt: skip


UNKNOWN = {
    "job_id": "job_none", "sandbox_id": "sbx_none", "name": "elsewhere", "key_id": "key_none",
    "workspace_id": "ws_none", "webhook_id": "wh_none", "delivery_id": "dlv_none",
    "project": "nobodys", "definition_id": "jobdef_none", "run_id": "run_none",
    "seq": "1", "n": "0", "action": "drain",
}  # fmt: skip


def test_what_is_anothers_is_as_what_is_not_there(
    app: flask.Flask, foreigner: Pages, pages: Pages, theirs: dict[str, str]
) -> None:
    csrf, seen = foreigner.csrf, 0

    for rule, method in rules(app):
        if "<" not in rule.rule:
            continue
        answers = []
        for values in (theirs, UNKNOWN):
            path = PLACES.sub(lambda place, of=values: of[place[1]], rule.rule)
            form = {"csrf_token": csrf} if method == "POST" else None
            answer = foreigner.client.open(path, method=method, data=form)
            text = re.sub(r"req_\w+", "", answer.text)
            for place, value in values.items():
                text = text.replace(value, place) if len(value) > 3 else text
            answers.append((answer.status_code, answer.headers.get("Location"), text))
        assert answers[0] == answers[1], (method, rule.rule)
        assert answers[0][0] in (403, 404), (method, rule.rule, answers[0][:2])
        seen += 1
    assert seen > 40
    assert pages.text(f"/jobs/{theirs['job_id']}")
    assert pages.text(f"/schedules/reports/{theirs['definition_id']}")


def test_no_page_gives_a_key_more_than_its_scope(
    app: flask.Flask, reader: Pages, core: Core, theirs: dict[str, str]
) -> None:
    writer = Pages(app.test_client())
    writer.sign_in(keys.create(core, "default", scopes=("read", "write")).text)
    csrf = {reader: reader.csrf, writer: writer.csrf}

    for rule, method in rules(app):
        scope = auth.scope_of(app.view_functions[rule.endpoint])
        path = PLACES.sub(lambda place: theirs[place[1]], rule.rule)
        refused = {"read": [], "write": [reader]}.get(str(scope), [reader, writer])
        for who in refused:
            form = {"csrf_token": csrf[who]} if method == "POST" else None
            answer = who.client.open(path, method=method, data=form)
            assert answer.status_code == 403, (method, path)
        assert scope != "read" or method == "GET" or rule.rule.endswith("/sign-out"), rule.rule


def test_the_system_is_not_for_admins_of_other_tenants(foreigner: Pages) -> None:
    assert foreigner.get("/system").status_code == 403
    assert foreigner.post("/system/nodes/n1/drain").status_code == 403


def test_nothing_is_changed_by_looking(app: flask.Flask) -> None:
    for rule, method in rules(app):
        assert not (method == "GET" and rule.endpoint.split(".")[1].startswith("post_")), rule
        assert method == "GET" or rule.endpoint.split(".")[1].startswith("post_"), rule
