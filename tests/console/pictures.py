"""`python -m tests.console.pictures [FOLDER]`: the pictures of the console in docs/images.

A scene is played in an installation of its own; each page is taken light and dark, the main ones on
a phone, too. What axe-core finds, and pages that are too wide, are told.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api import app as app_module
from knify import core as core_module
from knify import hints, settings
from knify.core import Core
from knify.services import keys
from tests.api.parts import Api
from tests.console import scene
from tests.console.browser import served
from tests.console.screens import DESKTOP, PHONE, Screen, chromium
from tests.parts import redis

FOLDER = Path(__file__).parents[2] / "docs/images"
ON_PHONES = ("jobs", "job", "output", "schedule", "system")


@contextmanager
def played() -> Iterator[tuple[str, str, dict[str, str], Core]]:
    """The console's address, a key, the pages by name, and what they show."""
    folder = Path(tempfile.mkdtemp(prefix="knify-scene-"))
    server = redis.start(folder, aof=True)
    given = {"KNIFY_HOME": str(folder / "home"), "KNIFY_REDIS_URL": server.url}
    core = core_module.connect(settings.load(given), hints.RecordedHints())
    app = app_module.create_app(core)
    key = keys.create(core, "default", scopes=("admin",), name="first admin").text
    pages = scene.play(core, Api(app.test_client(), key))
    try:
        with served(app) as url:
            yield url, key, pages, core
    finally:
        server.stop()


def take(folder: Path) -> list[str]:
    """Files `console-PAGE-SIZE-THEME.png`; what was seen that must not be."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    wrong: list[str] = []
    with played() as (url, key, pages, core), chromium() as browser:
        for theme in ("light", "dark"):
            for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
                screen = Screen(browser, url, key, size=size, color_scheme=theme)
                for page, path in pages.items():
                    if name == "phone" and page not in ON_PHONES:
                        continue
                    scene.beat(core)
                    screen.go(f"/console{path}")
                    screen.page.wait_for_timeout(700)  # plots are drawn, streams have begun
                    where = f"console-{page}-{name}-{theme}"
                    screen.page.screenshot(path=folder / f"{where}.png")
                    faults = [*screen.faults, *screen.obstacles()]
                    faults += [f"{wide} px too wide"] if (wide := screen.overflow()) > 0 else []
                    wrong += [f"{where}: {fault}" for fault in faults]
                    screen.faults.clear()
                screen.close()
    return wrong


if __name__ == "__main__":
    for line in take(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(line)
