"""The pages of workspaces, and uploads by form and by script."""

from __future__ import annotations

import io
from typing import Any

from werkzeug.test import TestResponse

from knify.core import Core
from tests.api.parts import Api, archive
from tests.console.parts import Pages

FILES = archive({"a.txt": b"one"})
PART = {"X-Knify-Part": "true"}


def sent(
    pages: Pages, content: bytes = FILES, filename: str = "demo.tar.gz", **more: Any
) -> TestResponse:
    """The form as a browser sends it: what stands first in the page comes first."""
    headers = more.pop("headers", {})
    form = {"csrf_token": pages.csrf} | more | {"workspace": (io.BytesIO(content), filename)}
    kind = "multipart/form-data"
    return pages.client.post("/console/workspaces", data=form, content_type=kind, headers=headers)


def test_an_upload_by_form_leads_to_its_workspace(pages: Pages, api: Api) -> None:
    came = sent(pages, name="")

    assert (came.status_code, came.headers["Location"]) == (303, "/console/workspaces/demo")
    assert [w["name"] for w in api.get("/workspaces").get_json()] == ["demo"]
    assert "Version 1 of demo is there now." in pages.text("/workspaces/demo")


def test_an_upload_by_script_answers_what_came(pages: Pages) -> None:
    came = sent(pages, name="mine", headers=PART | {"X-CSRF-Token": pages.csrf}).get_json()
    again = sent(pages, name="mine", headers=PART).get_json()

    assert (came["name"], came["version"], came["unchanged"]) == ("mine", 1, False)
    assert (came["path"], came["href"]) == ("/workspaces/mine", "/console/workspaces/mine")
    assert again["unchanged"] is True


def test_files_that_are_there_already_make_no_version(pages: Pages) -> None:
    sent(pages)
    sent(pages)

    assert "Nothing new: version 1 of demo" in pages.text("/workspaces/demo")


def test_without_the_pages_token_before_it_no_file_is_read(pages: Pages, api: Api) -> None:
    wrong: dict[str, Any] = {"csrf_token": "0" * 32, "workspace": (io.BytesIO(FILES), "x.tar.gz")}
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    late = (
        part.format("workspace", '; filename="x.tar.gz"').encode() + FILES + b"\r\n"
        + part.format("csrf_token", "").encode() + pages.csrf.encode() + b"\r\n--b--\r\n"
    )  # fmt: skip
    kind = "multipart/form-data; boundary=b"

    assert sent(pages, headers={"Origin": "https://evil.example"}).status_code == 403
    assert pages.client.post("/console/workspaces", data=wrong).status_code == 403
    answer = pages.client.post("/console/workspaces", data=late, content_type=kind)
    assert answer.status_code == 403
    assert api.get("/workspaces").get_json() == []


def test_a_reader_sees_no_upload_and_may_not_send_one(reader: Pages, api: Api) -> None:
    api.upload(FILES, "demo.tar.gz")
    page = reader.text("/workspaces") + reader.text("/workspaces/demo")

    assert "data-upload" not in page and "/delete" not in page
    assert sent(reader, name="x").status_code == 403
    (one,) = api.get("/workspaces").get_json()
    gone = reader.post(f"/workspaces/versions/{one['workspace_id']}/delete")
    assert gone.status_code == 403


def test_what_is_wrong_with_an_upload_stands_at_its_field(pages: Pages) -> None:
    for content, filename, name, status, words in [
        (b"no archive", "x.tar.gz", "x", 400, "archive"),
        (FILES, "", "", 400, "Choose an archive first."),
        (FILES, "x.tar.gz", "../up", 400, "name has 1 to 100 letters"),
        (b"x" * (5 * 1024**2), "x.tar", "x", 413, "too large"),
    ]:
        page = sent(pages, content, filename, name=name)
        told = sent(pages, content, filename, name=name, headers=PART)

        assert (page.status_code, told.status_code) == (status, status)
        field = "name" if name == "../up" else "file"
        problem = page.text.split(f'id="upload-{field}-problem" role="alert">')[1].split("<")[0]
        assert words in problem.replace("&#39;", "'")
        assert words in told.get_json()["message"]


def test_names_are_listed_with_their_newest_version_and_found(pages: Pages, api: Api) -> None:
    for name, text in [("one", b"1"), ("two", b"2"), ("one", b"3")]:
        api.upload(archive({"f": text}), name=name)

    page = pages.text("/workspaces")
    assert page.index('id="w-one"') < page.index('id="w-two"')
    assert page.count("data-row") == 2
    assert 'id="w-one"' not in pages.text("/workspaces?q=TW")
    assert "Nothing fits" in pages.text("/workspaces?q=nope")


def test_a_foreign_workspace_is_like_none(pages: Pages, foreigner: Pages, api: Api) -> None:
    made = api.upload(FILES, "demo.tar.gz").get_json()["workspace_id"]
    before = api.get("/workspaces").get_json()

    assert "No workspaces yet" in foreigner.text("/workspaces")
    for path in ("/workspaces/demo", f"/workspaces/versions/{made}/download"):
        none = pages.get(path.replace("demo", "nope").replace(made, "ws_nope"))
        assert (foreigner.get(path).status_code, none.status_code) == (404, 404)
    assert foreigner.post(f"/workspaces/versions/{made}/delete").status_code == 404
    assert api.get("/workspaces").get_json() == before
    assert pages.get("/workspaces/a:b%0A<x>").status_code == 404


def test_a_version_is_downloaded_and_deleted(pages: Pages, api: Api) -> None:
    first = api.upload(FILES, "demo.tar.gz").get_json()["workspace_id"]
    second = api.upload(archive({"a.txt": b"two"}), "demo.tar.gz").get_json()["workspace_id"]

    files = pages.get(f"/workspaces/versions/{first}/download")
    assert b"one" in files.data and "demo-v1.tar" in files.headers["Content-Disposition"]
    gone = pages.post(f"/workspaces/versions/{second}/delete")
    assert gone.headers["Location"] == "/console/workspaces/demo"
    assert "Version 2 of demo is deleted." in pages.text("/workspaces/demo")
    last = pages.post(f"/workspaces/versions/{first}/delete")
    assert last.headers["Location"] == "/console/workspaces"


def test_who_still_needs_a_version_is_named_and_keeps_it(
    pages: Pages, api: Api, core: Core
) -> None:
    made = api.upload(FILES, "demo.tar.gz").get_json()["workspace_id"]
    job = api.submit(workspace_path="/workspaces/demo")

    page = pages.text("/workspaces/demo")
    refused = pages.post(f"/workspaces/versions/{made}/delete")

    assert f'href="/console/jobs/{job}"' in page and "1 job has" in page
    assert refused.status_code == 409
    assert "jobs still have to begin with this workspace" in refused.text.lower()
    assert core.store.workspaces.find(made) is not None
