"""`python -m tests.console.pictures URL KEY [FOLDER]`: pictures of a running console for the docs.

Each page that is named is taken light and dark, on a desktop and on a phone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.console.screens import DESKTOP, PHONE, Screen, chromium

FOLDER = Path(__file__).parents[2] / "docs/images"
SIZES = {"desktop": DESKTOP, "phone": PHONE}


def take(url: str, key: str, folder: Path, pages: dict[str, str]) -> list[str]:
    """Files `NAME-SIZE-THEME.png`; what was seen that must not be."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    with chromium() as browser:
        for theme in ("light", "dark"):
            for name, size in SIZES.items():
                screen = Screen(browser, url, key, size=size, color_scheme=theme)
                for page, path in pages.items():
                    screen.go(path)
                    screen.page.wait_for_timeout(700)  # plots are drawn, streams have begun
                    screen.page.screenshot(path=folder / f"console-{page}-{name}-{theme}.png")
                    wrong += [f"{page} {name} {theme}: {fault}" for fault in screen.faults]
                    if (wide := screen.overflow()) > 0:
                        wrong.append(f"{page} {name} {theme}: {wide} px too wide")
                    wrong += [f"{page} {name} {theme}: {one}" for one in screen.obstacles()]
                    screen.faults.clear()
                screen.close()
    return wrong


def main() -> None:
    """The pages that the arguments name as NAME=PATH, else the lists."""
    url, key, *more = sys.argv[1:]
    named = dict(word.split("=", 1) for word in more if "=" in word)
    folder = next((Path(word) for word in more if "=" not in word), FOLDER)
    lists = ("jobs", "tasks", "schedules", "sandboxes", "workspaces", "webhooks", "keys", "system")
    pages = named or {name: f"/console/{name}" for name in lists}
    for line in take(url, key, folder, pages):
        print(line)


if __name__ == "__main__":
    main()
