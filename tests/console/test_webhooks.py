"""The pages of webhooks and of what became of their deliveries."""

from __future__ import annotations

from knify.core import Core
from knify.services import webhooks
from tests.api.parts import Api
from tests.console.parts import Pages

URL = "https://hooks.example.com/x"
ALL = list(webhooks.EVENTS)


def made(core: Core, **more: str) -> str:
    found = webhooks.create(core, "default", url=URL, events=ALL, **more)
    return found.record.id


def test_a_secret_that_is_made_here_is_shown_once(pages: Pages, core: Core) -> None:
    created = pages.post("/webhooks", url=URL, events=["job.failed"], name="Pager")

    (one,) = core.store.webhooks.of_tenant("default")
    assert (one.url, one.events, one.name) == (URL, ("job.failed",), "Pager")
    assert (created.status_code, "whsec_" in created.text) == (200, True)
    assert created.headers["Cache-Control"] == "no-store"
    after = pages.text("/webhooks") + pages.text(f"/webhooks/{one.id}")
    after += pages.text(f"/webhooks/{one.id}/edit")
    assert "Pager" in after and "whsec_" not in after


def test_a_forms_problems_stand_at_its_fields(pages: Pages, core: Core) -> None:
    for field, form in [
        ("url", {"url": "http://127.0.0.1/", "events": ALL}),
        ("url", {"url": "", "events": ALL}),
        ("events", {"url": URL}),
        ("secret", {"url": URL, "events": ALL, "secret": "short"}),
    ]:
        refused = pages.post("/webhooks", **form)

        assert (refused.status_code, f'id="{field}-problem"' in refused.text) == (400, True)
    assert core.store.webhooks.of_tenant("default") == []


def test_it_is_changed_and_keeps_its_secret(pages: Pages, core: Core) -> None:
    hook = made(core, name="old")
    before = webhooks.get(core, "default", hook)

    wrong = pages.post(f"/webhooks/{hook}/edit", url=URL, name="new")
    went = pages.post(f"/webhooks/{hook}/edit", url=URL + "/y", name="new", events=["job.failed"])

    assert (wrong.status_code, 'id="events-problem"' in wrong.text) == (400, True)
    assert went.headers["Location"] == f"/console/webhooks/{hook}"
    after = webhooks.get(core, "default", hook)
    assert (after.url, after.name, after.events) == (URL + "/y", "new", ("job.failed",))
    assert after.secret == before.secret


def test_deliveries_are_listed_tested_and_sent_again(pages: Pages, api: Api, core: Core) -> None:
    hook = made(core)
    job = api.submit()
    for _ in range(30):
        pages.post(f"/webhooks/{hook}/test")

    first, second = pages.text(f"/webhooks/{hook}"), pages.text(f"/webhooks/{hook}?page=2")
    assert first.count("webhook.test") == 30 and "page 1 of 2" in first
    assert f'href="/console/jobs/{job}"' in second and "job.created" in second
    rows, _ = webhooks.deliveries(core, "default", hook, offset=0, limit=1)
    again = pages.post(f"/webhooks/{hook}/deliveries/{rows[0].id}/redeliver")
    assert again.headers["Location"] == f"/console/webhooks/{hook}"
    assert pages.post(f"/webhooks/{hook}/deliveries/evt_none/redeliver").status_code == 404


def test_a_paused_one_is_told_nothing_until_it_is_resumed(pages: Pages, core: Core) -> None:
    hook = made(core)

    pages.post(f"/webhooks/{hook}/active", active="no")
    refused = pages.post(f"/webhooks/{hook}/test")
    assert (refused.status_code, "switched off" in refused.text) == (409, True)
    assert webhooks.get(core, "default", hook).active is False
    pages.post(f"/webhooks/{hook}/active", active="yes")
    assert webhooks.get(core, "default", hook).active is True
    gone = pages.post(f"/webhooks/{hook}/delete")
    assert gone.headers["Location"] == "/console/webhooks"
    assert "No webhooks yet" in pages.text("/webhooks")


def test_readers_look_and_strangers_find_nothing(
    reader: Pages, foreigner: Pages, core: Core
) -> None:
    hook = made(core, name='<b>"x"')
    webhooks.test(core, "default", hook)
    rows, _ = webhooks.deliveries(core, "default", hook, offset=0, limit=1)
    before = webhooks.get(core, "default", hook)
    changing = [f"/webhooks/{hook}/{verb}" for verb in ("test", "active", "edit", "delete")]
    changing.append(f"/webhooks/{hook}/deliveries/{rows[0].id}/redeliver")

    page = reader.text("/webhooks") + reader.text(f"/webhooks/{hook}")
    assert "<b>" not in page and 'action="/console/webhooks' not in page
    assert reader.get("/webhooks/new").status_code == reader.post("/webhooks").status_code == 403
    assert [reader.post(path).status_code for path in changing] == [403] * 5
    assert "No webhooks yet" in foreigner.text("/webhooks")
    assert foreigner.get(f"/webhooks/{hook}").status_code == 404
    assert foreigner.get(f"/webhooks/{hook}/edit").status_code == 404
    assert [foreigner.post(path).status_code for path in changing] == [404] * 5
    assert webhooks.get(core, "default", hook) == before
