"""Sessions of a browser that leave pictures, a trace, a video and the console behind.

    with browser.application() as url, browser.session("login", url) as session:
        session.open("/login")
        session.shot("the form")

The browser is the image's Chromium, or the one behind BROWSERLESS_URL (Chrome's own protocol, CDP).
That one is elsewhere: what it asks of this machine is fetched here and handed to it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import demo_app
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

RESULTS = Path("e2e-results")
#: A container has neither the right to make sandboxes of its own nor a large /dev/shm.
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage"]


def config() -> dict[str, Any]:
    """What `config/test-config.json` says."""
    found: dict[str, Any] = json.loads(Path("config/test-config.json").read_text())
    return found


@contextmanager
def application() -> Iterator[str]:
    """The address of the application: the configured one, or that of the demo application."""
    configured = os.environ.get("BASE_URL") or config().get("base_url")
    if configured:
        yield configured.rstrip("/")
        return
    with demo_app.running() as url:
        yield url


class Session:
    """One page, and what is kept of it."""

    def __init__(self, name: str, url: str, page: Page, folder: Path) -> None:
        self.page = page
        self.shots: list[dict[str, str]] = []
        self.console: list[dict[str, str]] = []
        self._name, self._url, self._folder = name, url, folder
        page.on("console", lambda message: self._say(message.type, message.text))
        page.on("pageerror", lambda error: self._say("pageerror", str(error)))
        page.on("requestfailed", lambda r: self._say("requestfailed", f"{r.method} {r.url}"))

    def open(self, path: str) -> None:
        """Go to a page of the application."""
        self.page.goto(self._url + path)

    def shot(self, title: str) -> None:
        """Keep a picture of the page as it is now."""
        word = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "page"
        file = f"{len(self.shots) + 1:02}-{word}.png"
        self.page.screenshot(path=self._folder / file)
        self.shots.append({"file": file, "title": title, "url": self.page.url})

    def _say(self, kind: str, text: str) -> None:
        self.console.append({"type": kind, "text": text[:2_000]})


@contextmanager
def session(name: str, url: str) -> Iterator[Session]:
    """A page of a fresh browser. Whatever happens in it, `e2e-results/NAME` has all of it."""
    folder = RESULTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began, error = time.time(), ""
    with sync_playwright() as playwright:
        browser, context = _open(playwright, folder)
        page = context.new_page()
        opened = Session(name, url, page, folder)
        try:
            yield opened
        except BaseException as failed:
            error = f"{type(failed).__name__}: {failed}"
            raise
        finally:
            _close(opened, browser, context, folder)
            told = {
                "name": name,
                "status": "failed" if error else "passed",
                "error": error[:2_000],
                "seconds": round(time.time() - began, 3),
                "shots": opened.shots,
                "console": opened.console[:500],
                "files": sorted(f.name for f in folder.iterdir() if f.suffix in (".zip", ".webm")),
            }
            (folder / "session.json").write_text(json.dumps(told, indent=2) + "\n")


def _open(playwright: Playwright, folder: Path) -> tuple[Browser, BrowserContext]:
    """A browser and a context that records."""
    settings = config()
    remote = os.environ.get("BROWSERLESS_URL")
    if remote:
        browser = playwright.chromium.connect_over_cdp(remote)
    else:
        program = os.environ.get("KNIFY_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS, proxy=_proxy())
    size = settings["viewport"]
    context = browser.new_context(
        viewport=size, record_video_dir=str(folder / ".video"), record_video_size=size
    )
    if remote:
        context.route(_is_near, lambda route: route.fulfill(response=route.fetch(max_redirects=0)))
    context.set_default_timeout(settings["timeout_ms"])
    context.tracing.start(screenshots=True, snapshots=True)
    return browser, context


def _is_near(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost")


def _proxy() -> Any:
    """The sandbox's way out, where it has one; what is on this machine is reached without."""
    server = os.environ.get("HTTPS_PROXY") or os.environ.get("HTTP_PROXY")
    return {"server": server, "bypass": "127.0.0.1,localhost"} if server else None


def _close(opened: Session, browser: Browser, context: BrowserContext, folder: Path) -> None:
    """A last picture, the trace, the video, the console."""
    steps = (
        lambda: opened.shot("the end"),
        lambda: context.tracing.stop(path=folder / "trace.zip"),
        context.close,
        lambda: opened.page.video and opened.page.video.save_as(folder / "video.webm"),
        browser.close,
    )
    for step in steps:
        try:
            step()
        except Exception as failed:  # of a browser that has crashed, what is left is kept
            opened.console.append({"type": "knify", "text": str(failed)[:2_000]})
    shutil.rmtree(folder / ".video", ignore_errors=True)
    lines = [f"{line['type']}: {line['text']}" for line in opened.console]
    (folder / "console.log").write_text("\n".join(lines) + "\n" if lines else "")
