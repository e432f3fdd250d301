"""The page of a job in a real browser: hostile content, lines as they come, very many lines."""

from __future__ import annotations

import time
from collections.abc import Iterator

import flask
import pytest
from playwright.sync_api import Browser, expect

from knify import model
from knify.core import Core
from knify.services import jobs, keys
from tests.console import hostile, told
from tests.console.browser import served
from tests.console.screens import CHROMIUM, Screen, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
WORST = {"evil": "<b>&\"'\u202e\n</script><script>alert(40)</script>"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def url(app: flask.Flask) -> Iterator[str]:
    with served(app) as found:
        yield found


@pytest.fixture
def screen(browser: Browser, url: str, core: Core) -> Iterator[Screen]:
    key = keys.create(core, "default", scopes=("admin",)).text
    found = Screen(browser, url, key)
    yield found
    found.close()


def submit(core: Core, **request: object) -> model.Execution:
    accepted = jobs.submit(core, "default", jobs.Submission(request, name="<i>Job</i>\u202e"))
    assert accepted.execution is not None
    return told.running(core, accepted.execution.id)


def test_nothing_that_is_shown_does_anything(screen: Screen, core: Core) -> None:
    shell = submit(core, job_type="command_task", command=hostile.LINES[0], metadata=WORST)
    told.end(core, told.lines(core, shell, hostile.LINES), hostile.FILES)
    agent = submit(core, job_type="claude_task", prompt=hostile.MESSAGES[0], metadata=WORST)
    said = [{"type": "agent_message", "message": text} for text in hostile.MESSAGES]
    calls = [
        {"type": "tool_use", "id": "<x>", "tool": tool, "parameters": given}
        for tool, given in hostile.CALLS
    ]
    told.end(core, told.events(core, agent, *said, *calls), hostile.FILES)
    page = screen.page

    screen.go(f"/console/jobs/{shell.id}?view=output")
    expect(page.locator(".ln.o")).to_have_count(len(hostile.LINES))
    text = page.inner_text("#term-box")
    for shown in (
        "<script>fetch(", "<img src=x onerror", "click me (javascript:alert(4))",
        "⟨U+202E⟩gnp.exe", "zero⟨U+200B⟩width", "show all 1,000,000 characters",
    ):  # fmt: skip
        assert shown in text
    assert page.locator("#term-box a, #term-box img, #term-box script").count() == 0
    screen.go(f"/console/jobs/{agent.id}?view=conversation")
    for call in page.locator(".call > summary").all():
        call.click()
    assert page.locator("#said img, #said iframe, #said script").count() == 0
    hrefs = page.locator("#said a").evaluate_all("all => all.map(a => [a.href, a.rel])")
    assert {rel for _, rel in hrefs} <= {"noopener noreferrer nofollow"}
    assert all(href.startswith("https://evil.example/") for href, _ in hrefs)
    for n in range(len(hostile.FILES)):
        screen.go(f"/console/jobs/{agent.id}?view=files&file={n}")
        page.wait_for_load_state("networkidle")
    for view in ("events", "output"):
        screen.go(f"/console/jobs/{agent.id}?view={view}")
    assert page.evaluate("Object.prototype.polluted") is None
    assert page.evaluate("document.cookie") in ("", "knify_theme=light", "knify_theme=dark")
    assert screen.faults == []


def test_a_line_is_seen_when_it_is_printed(screen: Screen, core: Core) -> None:
    x = told.lines(core, submit(core, job_type="command_task", command="x"), ["begun"])
    screen.go(f"/console/jobs/{x.id}")
    line = screen.page.locator(".ln .tx")
    expect(line.filter(has_text="begun")).to_be_visible()
    took = []

    for n in range(5):
        began = time.monotonic()
        x = told.lines(core, x, [f"tick {n}"])
        line.filter(has_text=f"tick {n}").wait_for()
        took.append(time.monotonic() - began)

    assert min(took) < 0.2, took
    assert screen.faults == []


def test_a_conversation_grows_and_results_join_their_calls(screen: Screen, core: Core) -> None:
    x = submit(core, job_type="claude_task", prompt="Do it")
    call = {"type": "tool_use", "id": "a", "tool": "run_command", "parameters": {"command": "ls"}}
    x = told.events(core, x, call)
    page = screen.go(f"/console/jobs/{x.id}")
    expect(page.locator(".call")).to_have_count(1)

    x = told.events(core, x, {"type": "tool_result", "id": "a", "status": "success"},
                    {"type": "agent_message", "message": "It **worked**"})  # fmt: skip
    expect(page.locator(".turn strong", has_text="worked")).to_be_visible()
    told.end(core, x, {"a.md": b"# A"})

    expect(page.locator(".call .call-how.success")).to_have_count(1)
    expect(page.locator(".late-result")).to_have_count(0)
    expect(page.locator(".badge.completed")).to_be_visible()
    expect(page.locator(".side-files a")).to_have_text("a.md")
    assert screen.faults == []


def test_of_100_000_lines_only_those_near_are_there(screen: Screen, core: Core) -> None:
    x = submit(core, job_type="command_task", command="x")
    for first in range(0, 100_000, 5_000):
        x = told.lines(core, x, [f"line {n}" for n in range(first, first + 5_000)])
    told.end(core, x)
    page = screen.go(f"/console/jobs/{x.id}")
    expect(page.locator(".ln .tx").first).to_have_text("line 0")

    page.evaluate("document.querySelector('#term-box').scrollTop = 1_000_000")
    expect(page.locator(".ln .tx", has_text="line 50001")).to_be_visible()
    page.fill("#find-text", "line 99998")
    page.press("#find-text", "Enter")

    expect(page.locator(".hit-now .tx")).to_have_text("line 99998", timeout=60_000)
    expect(page.locator("#find-count")).to_have_text("1 of 1")
    assert page.locator(".ln").count() < 600
    assert screen.faults == []


@pytest.mark.parametrize("size", [(1280, 800), (360, 740)], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_it(
    browser: Browser, url: str, core: Core, size: tuple[int, int], theme: str
) -> None:
    x = submit(core, job_type="claude_task", prompt="Do it", metadata=WORST)
    said = [
        {"type": "agent_message", "message": "| a | b |\n|---|---|\n| `c` | [d](https://e.f) |"}
    ]
    edit = {"path": "a", "old_string": "b", "new_string": "c"}
    call = {"type": "tool_use", "id": "a", "tool": "edit_file", "parameters": edit}
    x = told.events(core, x, *said, call, {"type": "warning", "code": "X", "message": "careful"})
    told.end(core, told.lines(core, x, hostile.LINES, "stderr"), hostile.FILES)
    key = keys.create(core, "default", scopes=("admin",)).text
    screen = Screen(browser, url, key, size=size, color_scheme=theme)

    for view in ("conversation", "output", "files", "files&file=2", "events"):
        page = screen.go(f"/console/jobs/{x.id}?view={view}")
        page.wait_for_load_state("networkidle")
        assert screen.obstacles() == [], view
        assert screen.overflow() <= 0, view
    assert screen.faults == []
    screen.close()
