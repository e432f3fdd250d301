"""Writes `constraints.txt`: all that the server's image installs, in the versions of `.venv`.

.venv/bin/pip install -e .[embedded,flower,otel] && .venv/bin/python deploy/constraints.py
"""

from __future__ import annotations

import configparser
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
EXTRAS = ("embedded", "flower", "otel")
#: What other Pythons than the one of `.venv` need besides.
ELSEWHERE = {"async-timeout": "5.0.1"}  # redis, before 3.11.3


def wanted() -> list[str]:
    """What setup.cfg names, a requirement each."""
    setup = configparser.ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    extras = setup["options.extras_require"]
    parts = [setup["options"]["install_requires"], *(extras[name] for name in EXTRAS)]
    return [line.strip() for part in parts for line in part.splitlines() if line.strip()]


def pinned() -> dict[str, str]:
    """The version of each, and of all that they need."""
    found: dict[str, str] = {}
    waiting = [(Requirement(text), "") for text in wanted()]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name in found and not requirement.extras:
            continue
        installed = metadata.distribution(name)
        found[name] = installed.version
        for text in installed.requires or ():
            for inner in ("", *requirement.extras):
                waiting.append((Requirement(text), inner))
    return dict(sorted(found.items()))


def main() -> None:
    """Write the file."""
    lines = [f"{name}=={version}\n" for name, version in sorted((ELSEWHERE | pinned()).items())]
    head = "# Written by deploy/constraints.py: what the server's image is made of.\n"
    (PROJECT / "deploy" / "constraints.txt").write_text(head + "".join(lines))


if __name__ == "__main__":
    main()
