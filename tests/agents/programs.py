"""Agents' real programs, run on this machine as a sandbox would run them, against the stub."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from knify import model
from knify.agents import base, models, registry
from tests.agents.driving import reader
from tests.parts import model_server

IMAGE = Path(__file__).parents[2] / "deploy" / "images" / "agents"
_ENDPOINTS = {"anthropic": "", "google": "", "openai": "/v1"}


@dataclass
class Turn:
    """What one turn of an agent did."""

    outcome: model.Outcome
    events: list[base.Event]
    said: model.Said
    raw: list[str]  # all lines of stdout
    exit_code: int
    stderr: str

    def of(self, kind: str) -> list[base.Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def messages(self) -> list[str]:
        return [event["message"] for event in self.of("agent_message")]

    @property
    def codes(self) -> list[str]:
        """Of warnings and errors."""
        return [event["code"] for event in self.events if "code" in event]


@dataclass
class Desk:
    """A home and a workspace that outlive turns, and a model to talk to."""

    folder: Path
    path: str  # of programs
    server: model_server.Models
    kind: str = "claude_task"
    env: dict[str, str] = field(default_factory=dict)
    model: str | None = None

    def __post_init__(self) -> None:
        for name in ("home", "work"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, prompt: str, session: str | None = None, **spec: Any) -> Turn:
        """One turn from its plan to its judged end."""
        adapter = registry.adapter(self.kind, uuid.uuid4().hex)
        wanted = model.ExecutionSpec(self.kind, prompt=prompt, **{"model": self.model} | spec)
        plan = adapter.prepare(wanted, reader(self.work), session or wanted.session_id)
        done = self._start(plan)
        events = list(plan.events)
        raw = done.stdout.decode("utf-8", "replace").splitlines()
        for line in raw:
            events += adapter.feed("stdout", line)
        words = done.stderr.decode("utf-8", "replace")
        for line in words.splitlines():
            events += [e for e in adapter.feed("stderr", line) if e["type"] != "progress"]
        code = done.returncode
        error = None if code == 0 else f"exited with code {code}"
        outcome = adapter.judge(model.Outcome("exited", code, error))
        events += adapter.end(outcome)
        assert adapter.said is not None
        return Turn(outcome, events, adapter.said, raw, code, words)

    def _start(self, plan: base.Plan) -> subprocess.CompletedProcess[bytes]:
        turn = self.folder / "turn"
        turn.mkdir(exist_ok=True)
        for name, content in plan.files.items():
            (turn / name).write_bytes(self._here(content.decode()).encode())
        for name, content in plan.home.items():
            file = self.folder / "home" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        env = {name: self._here(value) for name, value in plan.env.items()}
        home = {"PATH": self.path, "HOME": str(self.folder / "home"), "LANG": "C.UTF-8"}
        with (turn / plan.stdin if plan.stdin else Path(os.devnull)).open("rb") as stdin:
            return subprocess.run(
                [self._here(word) for word in plan.argv],
                stdin=stdin,
                capture_output=True,
                cwd=self.work,
                env=home | env | self.env,
                timeout=100,
            )

    def _here(self, text: str) -> str:
        """Paths and addresses of a sandbox as they are on this machine."""
        for name, provider in models.PROVIDERS.items():
            text = text.replace(provider.base_url, self.server.url + _ENDPOINTS[name])
        text = text.replace(base.TURN, str(self.folder / "turn"))
        text = text.replace(f"{base.WORKSPACE}/", f"{self.work}/")
        return text.replace(base.BUSYBOX, "busybox")


def installed() -> Path:
    """A folder of programs: claude, codex and gemini, as the image's lock file has them."""
    lock = (IMAGE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "knify" / f"agents-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (folder / "bin").is_dir():
        _install(folder)
    return folder / "bin"


def _install(folder: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm and node are not here")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(IMAGE / name, made)
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        done = subprocess.run([npm, "ci", *options], cwd=made, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"npm cannot install the agents' programs: {done.stderr[-500:]}")
        modules, bin_ = folder / "node_modules", Path(made) / "bin"
        bin_.mkdir()
        starts = {
            "claude": f"{_only(made, '@anthropic-ai/claude-code-linux-*/claude', modules)}",
            "codex": f"{node} {modules}/@openai/codex/bin/codex.js",
            "gemini": f"{node} {modules}/@google/gemini-cli/bundle/gemini.js",
        }
        for name, start in starts.items():
            (bin_ / name).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
            (bin_ / name).chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        Path(made).rename(folder)
        Path(made).mkdir()  # for the context to remove


def _only(made: str, pattern: str, modules: Path) -> Path:
    found = [f for f in Path(made, "node_modules").glob(pattern) if "musl" not in str(f)]
    assert len(found) == 1, found
    found[0].chmod(0o755)
    return modules / found[0].relative_to(Path(made, "node_modules"))


@contextmanager
def desk(folder: Path, kind: str, path: str, **server: Any) -> Iterator[Desk]:
    """A fresh home, workspace and model."""
    with model_server.running(**server) as running:
        yield Desk(folder, path, running, kind)
