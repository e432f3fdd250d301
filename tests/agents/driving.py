"""Runs a plan's driver on this machine as the sandbox would, and feeds its output."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from knify import errors, model
from knify.agents import base, runbook


@dataclass
class Run:
    exit_code: int
    events: list[base.Event]

    def of(self, kind: str) -> list[base.Event]:
        return [event for event in self.events if event["type"] == kind]

    def lines(self, stream: str = "stdout") -> list[str]:
        return [event["message"] for event in self.of("progress") if event["stream"] == stream]


def reader(folder: Path) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            raise errors.NotFound from None

    return read


def run(
    prompt: str,
    workspace: Path,
    turn: Path,
    *,
    shell: tuple[str, ...] = ("sh",),
    env: dict[str, str] | None = None,
) -> Run:
    adapter = runbook.Runbook("nonce", workspace=str(workspace), busybox="busybox")
    spec = model.ExecutionSpec("runbook_task", prompt=prompt)
    plan = adapter.prepare(spec, reader(workspace))
    turn.mkdir(exist_ok=True)
    for name, content in plan.files.items():
        (turn / name).write_bytes(content)
    done = subprocess.run(
        [*shell, turn / "driver.sh"], capture_output=True, text=True, env=env, timeout=60
    )
    taker = runbook.Runbook("nonce")  # knows only the nonce, as after a takeover
    events = list(plan.events)
    for stream, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        for line in text.split("\n")[: -1 if text.endswith("\n") or not text else None]:
            events += taker.feed(stream, line)  # type: ignore[arg-type]
    events += taker.end(model.Outcome("exited", done.returncode))
    return Run(done.returncode, events)
