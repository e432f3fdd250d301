"""docs/dependencies.md gives a reason for every library that is installed."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "dependencies.md").read_text()


def test_every_requirement_has_its_line_and_every_line_its_requirement() -> None:
    listed = re.findall(r"^\| `([a-z0-9.-]+)` \|", PAGE, re.MULTILINE)

    assert sorted(listed) == sorted(_required())


def test_every_line_gives_a_licence_and_a_reason() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            _, licence, reason, *_ = [cell.strip() for cell in line.strip("|").split("|")]
            assert licence and len(reason.split()) > 2, line


def _required() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    parts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    lines = [line.strip() for part in parts for line in part.splitlines() if line.strip()]
    return [re.split(r"[\[<>=~! ;]", line)[0] for line in lines]
