"""One installation with a scripted agent for all snippets of a file, and ways to run them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import runpy
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify.client import Client
from tests.parts import stack as stack_part
from tests.parts import standin

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "examples" / "docs"
KEY = "key-of-the-tests"


class Snippets:
    """The documented snippets, each in an empty folder, with URL and key in the environment."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self.folder = folder
        self.env = {"KNIFY_URL": url, "KNIFY_API_KEY": key}
        quick = folder / ".bin" / "sleep"  # the text's `sleep 60` stands for "until it has ended"
        quick.parent.mkdir()
        quick.write_text("#!/bin/sh\nexec /bin/sleep 0.2\n")
        quick.chmod(0o755)
        self._path = f"{quick.parent}:{os.environ['PATH']}"

    def bash(self, name: str, **env: str) -> str:
        """What a shell snippet prints."""
        return self._run(["bash", str(DOCS / name)], env)

    def node(self, name: str, **env: str) -> str:
        """What a JavaScript snippet prints; it finds its packages beside it."""
        script = _packages() / Path(name).name
        shutil.copy(DOCS / name, script)
        return self._run(["node", str(script)], env)

    def python(self, name: str) -> dict[str, Any]:
        """All names that a Python snippet leaves, run as a program in this process."""
        before, place = dict(os.environ), Path.cwd()
        os.environ.update(self.env)
        os.chdir(self.folder)
        try:
            return runpy.run_path(str(DOCS / name), run_name="snippet")
        finally:
            os.chdir(place)
            os.environ.clear()
            os.environ.update(before)

    def _run(self, argv: list[str], env: dict[str, str]) -> str:
        env = os.environ | self.env | {"PATH": self._path} | env
        done = subprocess.run(
            argv, env=env, cwd=self.folder, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def objects(text: str) -> list[Any]:
    """All JSON values that stand one after the other."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def _packages() -> Path:
    """A folder with what the snippets import, installed once for each lock file."""
    here = ROOT / "tests" / "snippets"
    lock = (here / "package-lock.json").read_bytes()
    place = ROOT / ".cache" / f"npm-{hashlib.sha256(lock).hexdigest()[:16]}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # files of tests run side by side
        if not (place / "done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(here / name, place)
            argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(argv, cwd=place, check=True, capture_output=True, timeout=100)
            (place / "done").touch()
    return place


@pytest.fixture(scope="module")
def stack() -> Iterator[stack_part.Stack]:
    """A running installation whose agents' image has the stand-in."""
    with standin.image() as image:
        settings = {"CURSOR_API_KEY": KEY, "KNIFY_AGENTS_IMAGE": image}
        settings["KNIFY_WEBHOOK_ALLOW_PRIVATE"] = "1"
        with stack_part.running(**settings) as running:
            yield running


@pytest.fixture
def client(stack: stack_part.Stack) -> Iterator[Client]:
    """Knify's own client, to look at what the snippets did."""
    with stack.client() as client:
        yield client


@pytest.fixture
def snippets(stack: stack_part.Stack, tmp_path: Path) -> Snippets:
    """The snippets on that installation."""
    key = (stack.home / "admin.key").read_text().strip()
    return Snippets(stack.url, key, tmp_path)
