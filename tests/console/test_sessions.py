"""Who may see the console's pages, and what their forms must bring along."""

from __future__ import annotations

import gzip

import flask
import pytest

from api import app as app_module
from api import auth
from api.console import assets
from knify.core import Core
from knify.services import keys
from tests.console.parts import Pages


def test_who_is_not_signed_in_is_asked_to_and_then_led_on(app: flask.Flask, core: Core) -> None:
    pages = Pages(app.test_client())

    asked = pages.get("/jobs?q=x")
    came = pages.sign_in(keys.create(core, "default").text, next="/console/jobs?q=x")

    assert asked.headers["Location"] == "/console/sign-in?next=%2Fconsole%2Fjobs%3Fq%3Dx"
    assert came.headers["Location"] == "/console/jobs?q=x"


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/",
        "//evil.example/console/",
        "/console/\\evil",
        "/jobs",
        "javascript:1",
    ],
)
def test_nobody_is_led_elsewhere(app: flask.Flask, core: Core, where: str) -> None:
    came = Pages(app.test_client()).sign_in(keys.create(core, "default").text, next=where)

    assert came.headers["Location"] == "/console/jobs"


def test_a_wrong_key_is_refused_and_shown_nowhere(app: flask.Flask, core: Core) -> None:
    keys.create(core, "default")

    refused = Pages(app.test_client()).sign_in("knify_live_abc_def")

    assert (refused.status_code, "Set-Cookie" in refused.headers) == (401, False)
    assert "knify_live_abc_def" not in refused.text


def test_the_cookie_is_out_of_reach_and_holds_no_key(app: flask.Flask, core: Core) -> None:
    text = keys.create(core, "default").text

    cookie = Pages(app.test_client()).sign_in(text).headers["Set-Cookie"]

    assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
    assert text.rsplit("_", 1)[1] not in cookie


def test_over_https_the_cookie_stays_there(app: flask.Flask, core: Core) -> None:
    sent = app.test_client().post(
        "/console/sign-in",
        data={"key": keys.create(core, "default").text},
        base_url="https://localhost",
    )

    assert "Secure" in sent.headers["Set-Cookie"].split("; ")


def test_a_revoked_key_ends_its_sessions(app: flask.Flask, core: Core) -> None:
    pages, made = Pages(app.test_client()), keys.create(core, "default")
    pages.sign_in(made.text)
    assert pages.get("/jobs").status_code == 200

    core.store.access.revoke_key("default", made.record.id, force=True)

    assert pages.get("/jobs").headers["Location"] == "/console/sign-in"


def test_a_rotated_key_ends_its_sessions(app: flask.Flask, core: Core) -> None:
    pages, made = Pages(app.test_client()), keys.create(core, "default")
    pages.sign_in(made.text)

    keys.rotate(core, "default", made.record.id)

    assert pages.get("/jobs").status_code == 303


def test_a_session_opens_no_api_and_a_key_opens_no_page(pages: Pages, core: Core) -> None:
    header = {"Authorization": f"Bearer {keys.create(core, 'default').text}"}

    assert pages.client.get("/jobs").status_code == 401
    assert pages.client.application.test_client().get(
        "/console/jobs", headers=header
    ).headers["Location"] == "/console/sign-in"  # fmt: skip


def test_a_form_without_the_pages_token_does_nothing(pages: Pages) -> None:
    for data in ({}, {"csrf_token": "0" * 32}):
        assert pages.client.post("/console/sign-out", data=data).status_code == 403

    assert pages.get("/jobs").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_another_sites_form_does_nothing(pages: Pages, headers: dict[str, str]) -> None:
    sent = pages.client.post("/console/sign-out", data={"csrf_token": pages.csrf}, headers=headers)

    assert sent.status_code == 403
    assert pages.get("/jobs").status_code == 200


def test_who_signs_out_is_out(pages: Pages) -> None:
    pages.post("/sign-out")

    assert pages.get("/jobs").status_code == 303


def test_a_page_allows_only_files_of_this_server(pages: Pages) -> None:
    policy = pages.get("/jobs").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_every_page_says_who_may_see_it(app: flask.Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("console.")]

    for rule in rules:
        view = app.view_functions[rule.endpoint]
        public = rule.rule in (
            "/console", "/console/", "/console/sign-in", "/console/assets/<name>",
            "/console/<path:rest>",
        )  # fmt: skip
        assert (auth.scope_of(view) == auth.PUBLIC) == public, rule
        if rule.methods and "POST" in rule.methods and not public and "sign-out" not in rule.rule:
            assert auth.scope_of(view) != "read", rule


def test_without_keys_there_is_nothing_to_sign_in_to(core: Core) -> None:
    pages = Pages(app_module.create_app(core, no_auth=True).test_client())

    assert pages.get("/sign-in").headers["Location"] == "/console/jobs"
    assert "everybody on this machine" in pages.text("/jobs")


def test_what_is_not_there_is_a_page_that_says_so(pages: Pages) -> None:
    missing = pages.get("/nothing/here")

    assert (missing.status_code, "text/html" in missing.headers["Content-Type"]) == (404, True)
    assert "There is nothing at this address." in missing.text


def test_a_copy_of_the_cookie_is_worth_nothing_after_one_signed_out(pages: Pages) -> None:
    copied = pages.client.get_cookie("knify_session", path="/console")
    assert copied is not None

    pages.post("/sign-out")
    pages.client.set_cookie("knify_session", copied.value, path="/console")

    assert pages.get("/jobs").status_code == 303


def test_one_signs_out_of_one_browser_only(app: flask.Flask, core: Core, pages: Pages) -> None:
    text = keys.create(core, "default").text
    here, there = Pages(app.test_client()), Pages(app.test_client())
    here.sign_in(text)
    there.sign_in(text)

    here.post("/sign-out")

    assert (here.get("/jobs").status_code, there.get("/jobs").status_code) == (303, 200)


def test_who_has_no_requests_left_can_still_sign_out(app: flask.Flask, core: Core) -> None:
    pages = Pages(app.test_client())
    pages.sign_in(keys.create(core, "default", limit_per_hour=1).text)
    used = pages.post("/tasks/new")  # refused for what it says, and counted
    assert pages.post("/tasks/new").status_code == 429, used.status_code

    assert pages.post("/sign-out").status_code == 303


def test_what_caches_keep_for_everybody_carries_no_session(pages: Pages) -> None:
    name = next(iter(assets.manifest().values()))

    answer = pages.get(f"/assets/{name}")

    assert "Set-Cookie" not in answer.headers
    assert "Set-Cookie" in pages.get("/jobs").headers


@pytest.mark.parametrize("broken", ["http://[", "//[", "/console/../../jobs"])
def test_an_address_that_is_none_is_no_fault_of_ours(pages: Pages, broken: str) -> None:
    asked = pages.get("/sign-in", query_string={"next": broken})
    sent = pages.client.post("/console/sign-out", headers={"Origin": broken})

    assert (asked.status_code, sent.status_code) == (200, 403)
    assert 'value="/console/jobs"' in asked.text


def test_a_page_is_packed_for_who_takes_that(pages: Pages) -> None:
    plain, packed = pages.get("/jobs"), pages.get("/jobs", headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert b"No jobs yet" in gzip.decompress(packed.data)
    assert len(packed.data) < len(plain.data) / 2


def test_who_is_not_known_sends_no_long_form(app: flask.Flask) -> None:
    sent = Pages(app.test_client()).sign_in("x", more="a&" * 20_000)

    assert sent.status_code == 413


def test_a_form_of_very_many_fields_is_refused_before_it_is_taken_apart(pages: Pages) -> None:
    many = f"csrf_token={pages.csrf}" + "&a" * 10_000

    sent = pages.client.post(
        "/console/tasks/check", data=many, content_type="application/x-www-form-urlencoded"
    )

    assert sent.status_code == 400
