"""The pages of API keys: a key's text is in one answer and in nothing else."""

from __future__ import annotations

import re

from api.console import blueprint
from knify.core import Core
from knify.services import keys
from tests.console.parts import Pages

_TEXT = re.compile(r"knify_(?:live|test)_[a-z0-9]{8,}_[a-z0-9]+")


def test_a_new_keys_text_is_in_one_answer_and_nowhere_else(pages: Pages, core: Core) -> None:
    made = pages.post("/keys", name="ci", scopes=["read"], expires_in="30d", mode="test")

    (text,) = set(_TEXT.findall(made.text))
    record = keys.authenticate(core, text)
    assert (record.name, record.scopes, record.mode) == ("ci", ("read",), "test")
    assert made.headers["Cache-Control"] == "no-store"
    assert text.rsplit("_", 1)[1] not in str(made.headers)
    after = pages.text("/keys") + pages.text(f"/keys/{record.id}")
    assert "ci" in after and not _TEXT.findall(after)


def test_a_forms_problems_stand_at_its_fields_and_what_was_typed_stays(pages: Pages) -> None:
    for field, form, words in [
        ("scopes", {"name": "x"}, "A key needs a scope"),
        ("limit_per_hour", {"scopes": ["read"], "limit_per_hour": "many"}, "Must be a integer"),
        ("limit_per_hour", {"scopes": ["read"], "limit_per_hour": "5", "tier": "pro"}, "1000"),
        ("expires_in", {"scopes": ["read"], "expires_in": "soon"}, "Write a duration"),
        ("name", {"scopes": ["read"], "name": '"><b>' * 60}, "Length"),
    ]:
        refused = pages.post("/keys", **form)

        assert refused.status_code == 400
        told = refused.text.split(f'id="{field}-problem">')[1].split("</p>")[0]
        assert words.lower() in told.lower()
        assert "<b>" not in refused.text
        typed = str(form.get(field, "")) if field != "scopes" else "x"
        assert typed.replace('"', "&#34;").replace(">", "&gt;").replace("<", "&lt;") in refused.text


def test_a_rotated_key_gets_another_text_and_the_old_one_its_time(pages: Pages, core: Core) -> None:
    old = keys.create(core, "default", scopes=("read",), name="bot")

    rotated = pages.post(f"/keys/{old.record.id}/rotate", grace="1h")

    (text,) = set(_TEXT.findall(rotated.text))
    assert keys.authenticate(core, text).id == keys.authenticate(core, old.text).id
    assert pages.post(f"/keys/{old.record.id}/rotate", grace="9d").status_code == 400


def test_a_revoked_key_opens_nothing_and_the_last_one_needs_a_second_word(
    pages: Pages, core: Core
) -> None:
    other = keys.create(core, "default", scopes=("read",)).record.id
    (own,) = re.findall(r'id="k-(\w+)"[^>]*>(?:(?!</tr>).)*this one', pages.text("/keys"), re.S)

    revoked = pages.post(f"/keys/{other}/revoke")
    refused = pages.post(f"/keys/{own}/revoke")

    assert revoked.headers["Location"] == "/console/keys"
    assert keys.get(core, "default", other).revoked_at is not None
    assert (refused.status_code, 'name="force"' in refused.text) == (409, True)
    assert pages.post(f"/keys/{own}/revoke", force="yes").status_code == 303
    assert pages.get("/keys").headers["Location"] == "/console/sign-in?next=%2Fconsole%2Fkeys"


def test_keys_are_for_administrators_of_their_own_tenant(
    pages: Pages, reader: Pages, foreigner: Pages, core: Core
) -> None:
    made = keys.create(core, "default", scopes=("read",)).record.id
    before = keys.get(core, "default", made)

    assert 'href="/console/keys"' not in reader.text("/jobs")
    for path in ("/keys", "/keys/new", f"/keys/{made}"):
        assert reader.get(path).status_code == 403
    for path in ("/keys", f"/keys/{made}/rotate", f"/keys/{made}/revoke"):
        assert reader.post(path).status_code == 403
    assert made not in foreigner.text("/keys")
    assert foreigner.get(f"/keys/{made}").status_code == 404
    for verb in ("rotate", "revoke"):
        assert foreigner.post(f"/keys/{made}/{verb}").status_code == 404
    assert keys.get(core, "default", made) == before
    assert ("Keys", "/console/keys", "key-round", "admin") in blueprint.MENU
