"""`runbook_task`: a Markdown file whose fences are run in order; no model is involved.

Each step is a process of its own in /workspace: files persist between steps, `cd`, variables
and `export` do not. Shell steps run under `-e` (bash where there is one, else sh), so the first
failing command fails its step; the first failing step ends the run with its exit code.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import json
import math
import posixpath
import shlex

from knify import errors, model
from knify.agents import base, markdown

MAX_SIZE = 1024**2  # bytes of a runbook

_SUFFIXES = {"shell": "sh", "python": "py", "javascript": "js"}
_SAID = ("agent_message", "tool_use")  # what the driver may say; all else is a step's own lie


class Runbook(base.Plain):
    """The adapter; the nonce marks the driver's own lines among the output."""

    def __init__(
        self, nonce: str, *, workspace: str = base.WORKSPACE, busybox: str = base.BUSYBOX
    ) -> None:
        """The mark is derived, so that a step that finds it still does not know the nonce."""
        self._mark = "knify-" + hashlib.sha256(f"runbook {nonce}".encode()).hexdigest()[:32]
        self._workspace = workspace
        self._busybox = busybox
        self._running: str | None = None  # the id of the step that has begun and not ended

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter; BadRequest when there is no such runbook or nothing to run in it."""
        steps = markdown.steps(_text(spec.prompt or "", workspace))
        files: dict[str, bytes] = {}
        calls = []
        for number, step in enumerate(steps, 1):
            name = f"{number:02}"
            files[f"{name}.events"] = _lines(_events(name, step))
            if step.language:
                script = f"{name}.{_SUFFIXES[step.language]}"
                files[script] = step.code.encode()
                calls.append(
                    f"step {name} {step.language} {script} {'go' if step.keep_going else 'stop'}"
                )
            else:
                calls.append(f"say {name}.events")
        files["driver.sh"] = self._driver(calls, base.folder(spec, self._workspace))
        argv = (self._busybox, "sh", f"{base.TURN}/driver.sh")
        return base.Plan(argv, dict(spec.env), files)

    def feed(self, stream: base.Stream, line: str) -> list[base.Event]:
        """See Adapter; a mark may stand behind output that did not end its line."""
        _, mark, said = line.partition(self._mark)
        own = self.own_line(stream, line)
        shown = [] if own is None else [base.progress(stream, own)]
        if not mark or stream == "stderr":
            return shown
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return shown + self._said(said)
        return shown

    def own_line(self, stream: base.Stream, line: str) -> str | None:
        """See Adapter."""
        output, mark, _ = line.partition(self._mark)
        return output if output or not mark else None

    def end(self, outcome: model.Outcome) -> list[base.Event]:
        """See Adapter: the result of a step that was cut off."""
        if self._running is None:
            return []
        cut_off = {"type": "tool_result", "id": self._running, **base.failure(outcome)}
        self._running = None
        return [cut_off]

    def _said(self, said: str) -> list[base.Event]:
        kind, _, rest = said.strip().partition(" ")
        if kind == "end":
            self._running = None
            return [_result(*rest.split(" "))]
        event = json.loads(rest) if kind == "event" else {}
        if event.get("type") not in _SAID:
            return []
        if event["type"] == "tool_use":
            self._running = event["id"]
        return [event]

    def _driver(self, calls: list[str], folder: str) -> bytes:
        settings = {
            "bb": self._busybox,
            "mark": self._mark,
            "workspace": folder,
        }
        lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
        body = importlib.resources.files("knify.agents").joinpath("driver.sh").read_text()
        return "\n".join([*lines, "here=${0%/*}", body, *calls, "exit 0", ""]).encode()


def _text(prompt: str, workspace: base.WorkspaceReader) -> str:
    """The runbook itself: the prompt, or the file in the workspace that `@file.md` names."""
    named = prompt.strip()
    if not named.startswith("@") or "\n" in named:
        return prompt
    path = posixpath.normpath(named[1:].strip())
    if path.startswith(("/", "..")) or path == ".":
        raise errors.BadRequest(f"the runbook {named} is not below the workspace")
    try:
        content = workspace(path)
    except errors.NotFound as missing:
        raise errors.BadRequest(f"the workspace holds no runbook {path}") from missing
    return decoded(path, content)


def decoded(path: str, content: bytes) -> str:
    """The text of a runbook's file. TooLarge, BadRequest."""
    if len(content) > MAX_SIZE:
        raise errors.TooLarge(f"the runbook {path} is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.BadRequest(f"the runbook {path} is not UTF-8 text") from None


def _events(name: str, step: markdown.Step) -> list[base.Event]:
    events: list[base.Event] = []
    if step.text:
        events.append({"type": "agent_message", "message": base.clip(step.text)})
    if step.language:
        parameters = {"language": step.language, "command": base.clip(step.code.rstrip("\n"))}
        events.append(
            {"type": "tool_use", "id": name, "tool": "run_command", "parameters": parameters}
        )
    return events


def _lines(events: list[base.Event]) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def _result(name: str, code: str, began: str = "", ended: str = "") -> base.Event:
    exit_code = int(code)
    event: base.Event = {
        "type": "tool_result",
        "id": name,
        "status": "error" if exit_code else "success",
        "exit_code": exit_code,
    }
    with contextlib.suppress(ValueError):  # a sandbox without /proc/uptime
        event["duration_ms"] = _milliseconds(began, ended)
    return event


def _milliseconds(began: str, ended: str) -> int:
    """Between two readings of /proc/uptime, which a step may have made up. ValueError."""
    passed = (float(ended) - float(began)) * 1000
    if not math.isfinite(passed):
        raise ValueError("no time")
    return max(0, round(passed))
