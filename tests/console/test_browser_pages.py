"""Every page in a real browser: without obstacles and on a phone; uploads, keyboard, live lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.parts import COMMAND, MANIFEST, archive
from tests.console import screens
from tests.openapi import live

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(screens.CHROMIUM is None, reason="needs Chromium"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[live.Live]:
    with live.serve() as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with screens.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def paths(server: live.Live) -> list[str]:
    """The pages of one of each."""
    api = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.key}"})
    job = api.post("/jobs", json={"spec": COMMAND}).json()["job_id"]
    sandbox = api.get(f"/jobs/{job}").json()["sandbox_id"]
    form = {"workspace": ("demo.tar.gz", archive({"a": b"1"}))}
    api.post("/workspaces", files=form)
    hook = api.post("/webhooks", json={"url": "https://hooks.example.com/x"}).json()["webhook_id"]
    api.post(f"/webhooks/{hook}/test")
    key = api.get("/keys").json()[0]["id"]
    project = "/v1/workspaces/default/projects/reports/jobs"
    body = {"name": "daily", "image": "localhost/knify/base:latest", "command": "date"}
    definition = api.post(project, json=body | {"schedule": "0 5 * * *"}).json()["data"]["id"]
    api.post("/api/v1/tasks", json=MANIFEST)
    schedule = f"/schedules/reports/{definition}"
    return [
        "/jobs", "/jobs?tab=failed", f"/jobs/{job}", "/jobs/new", f"/jobs/new?from={job}",
        "/tasks", "/tasks/new", "/schedules", "/schedules/new", schedule, f"{schedule}/runs",
        f"{schedule}/logs", f"{schedule}/resources", f"{schedule}/edit", f"{schedule}/run",
        "/system", "/system?span=24h", "/nothing/here",
        "/sandboxes", f"/sandboxes/{sandbox}", "/workspaces", "/workspaces/demo", "/webhooks",
        "/webhooks/new", f"/webhooks/{hook}", f"/webhooks/{hook}/edit", "/keys", "/keys/new",
        f"/keys/{key}",
    ]  # fmt: skip


@pytest.mark.timeout(400)  # some thirty pages, each looked through by axe-core
@pytest.mark.parametrize(
    ("scheme", "size"),
    [("light", screens.PHONE), ("dark", screens.DESKTOP)],
    ids=["phone", "desktop"],
)
def test_every_page_is_without_obstacles_and_fits(
    server: live.Live, browser: Any, paths: list[str], scheme: str, size: tuple[int, int]
) -> None:
    screen = screens.Screen(browser, server.url, server.key, color_scheme=scheme, size=size)

    found = {}
    for path in paths:
        screen.go(f"/console{path}")
        found[path] = (screen.obstacles(), screen.overflow())

    assert found == {path: ([], 0) for path in paths}
    assert screen.faults == []
    screen.close()


def test_an_upload_shows_its_way_its_problem_and_its_end(
    server: live.Live, browser: Any, tmp_path: Path
) -> None:
    screen = screens.Screen(browser, server.url, server.key)
    page = screen.go("/console/workspaces")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "large.tar").write_bytes(os.urandom(8 * 1024**2))
    (tmp_path / "mine.tar.gz").write_bytes(archive({"a.txt": b"hello"}))

    page.set_input_files("#upload-file", tmp_path / "notes.txt")
    page.wait_for_selector("#upload-file-problem:has-text('This is no archive')")

    page.set_input_files("#upload-file", tmp_path / "large.tar")
    assert page.get_attribute("#upload-name", "placeholder") == "large"
    network = screen.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    network.send("Network.emulateNetworkConditions", slow)
    page.click(".upload-more button")
    page.wait_for_selector(".upload-said:has-text('of 8.0 MiB')")
    assert screen.obstacles() == []
    page.click(".upload-way button")
    page.wait_for_selector("#upload-file-problem:has-text('Cancelled')")
    network.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})

    page.click(".upload-more button")
    page.wait_for_selector("#upload-file-problem:has-text('archive')")

    page.set_input_files("#upload-file", tmp_path / "mine.tar.gz")
    page.fill("#upload-name", "../up")
    page.click(".upload-more button")
    page.wait_for_selector("#upload-name-problem:has-text('1 to 100 letters')")
    page.fill("#upload-name", "mine")
    page.press("#upload-name", "Enter")
    page.wait_for_url("**/console/workspaces/mine")
    page.wait_for_selector("text=Version 1 of mine is there now.")
    assert screen.faults == []
    screen.close()


def test_a_file_that_is_dropped_anywhere_is_the_one_that_goes(
    server: live.Live, browser: Any
) -> None:
    screen = screens.Screen(browser, server.url, server.key)
    page = screen.go("/console/workspaces")

    data = page.evaluate_handle(
        "bytes => { const d = new DataTransfer();"
        " d.items.add(new File([new Uint8Array(bytes)], 'dropped.tar.gz')); return d; }",
        list(archive({"b.txt": b"dropped"})),
    )
    page.dispatch_event("h1", "dragenter", {"dataTransfer": data})
    assert page.locator(".upload.dropping").count() == 1
    page.dispatch_event("h1", "drop", {"dataTransfer": data})
    page.click(".upload-more button")

    page.wait_for_url("**/console/workspaces/dropped")
    screen.close()


def test_a_new_keys_text_is_gone_when_the_page_is_loaded_anew(
    server: live.Live, browser: Any
) -> None:
    screen = screens.Screen(browser, server.url, server.key)
    page = screen.go("/console/keys/new")
    page.fill("#name", "ci")
    page.click("text=Create key")

    text = page.input_value("#key-text")
    assert text.startswith("knify_live_") and screen.obstacles() == []
    page.wait_for_url("**/console/keys/*")
    page.reload()
    assert text not in page.content() and "ci" in page.content()
    screen.close()


def test_files_that_are_uploaded_with_a_new_job_are_its_workspace(
    server: live.Live, browser: Any, tmp_path: Path
) -> None:
    (tmp_path / "site.tar.gz").write_bytes(archive({"a.txt": b"hello"}))
    screen = screens.Screen(browser, server.url, server.key)
    page = screen.go("/console/jobs/new?type=command_task")

    page.fill("#command", "make test")
    page.click("text=Upload files for it")
    page.set_input_files("#upload-file", tmp_path / "site.tar.gz")
    page.click(".upload-more button")

    page.wait_for_selector("#notices:has-text('/workspaces/site is there, with 1 file')")
    assert page.input_value("#workspace_path") == "/workspaces/site"
    assert page.input_value("#command") == "make test"
    assert screen.faults == []
    screen.close()


@pytest.mark.usefixtures("paths")
def test_the_keyboard_leads_through_the_console(server: live.Live, browser: Any) -> None:
    screen = screens.Screen(browser, server.url, server.key)
    page = screen.go("/console/jobs")

    page.keyboard.press("?")
    assert page.is_visible("#keys-help") and screen.obstacles() == []
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("[data-row] .row-link").nth(1).get_attribute("href")
    assert page.evaluate("document.activeElement.getAttribute('href')") == second
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/jobs/*_*")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/console/workspaces")
    screen.close()


@pytest.mark.usefixtures("paths")
def test_a_new_job_is_told_and_moves_nothing_until_it_is_asked_for(
    server: live.Live, browser: Any
) -> None:
    screen = screens.Screen(browser, server.url, server.key)
    page = screen.go("/console/jobs")
    page.wait_for_timeout(1_500)  # it listens by then
    rows = page.locator("[data-row]").evaluate_all("rows => rows.map(row => row.id)")

    api = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.key}"})
    job = api.post("/jobs", json={"spec": COMMAND}).json()["job_id"]
    page.wait_for_selector("#fresh:visible")

    assert page.inner_text("#fresh") == "1 new job"
    assert page.locator("[data-row]").evaluate_all("rows => rows.map(row => row.id)") == rows
    page.click("#fresh")
    page.wait_for_selector(f"#{job}")
    assert screen.faults == []
    screen.close()


def test_a_theme_is_kept(server: live.Live, browser: Any) -> None:
    screen = screens.Screen(browser, server.url, server.key, color_scheme="light")
    page = screen.go("/console/jobs")

    page.click("[data-theme-toggle]")
    page.reload()

    assert page.get_attribute("html", "data-theme") == "dark"
    screen.close()
