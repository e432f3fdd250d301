"""A team at work, for pictures: an agent that mended something, jobs that wait, run and failed."""

from __future__ import annotations

from typing import Any, Final

from knify import clock
from knify.core import Core
from knify.lifecycle import State
from knify.services import jobs
from knify.services.jobs import final_entry
from knify.store import minutes
from knify.store.checkups import Checkup
from tests.api.parts import Api, archive
from tests.console import told

_OLD: Final = """import re

DATE = re.compile(r'(\\d{4})-(\\d{2})-(\\d{2})')


def parse(text):
    return DATE.match(text).groups()"""
_NEW: Final = """import re

DATE = re.compile(r'(\\d{4})-(\\d{1,2})-(\\d{1,2})')


def parse(text):
    found = DATE.match(text)
    if found is None:
        raise ValueError(f'no date: {text!r}')
    return found.groups()"""
_WHY: Final = """The pattern asks for **exactly two digits**, so `2026-1-5` never matches:

| input | now | wanted |
|---|---|---|
| `2026-1-5` | error | 5 January |
| `2026-01-05` | fine | fine |
"""
_ABOUT: Final = {"metadata": {"team": "web", "ticket": "WEB-431"}}
_NAME: Final = "Mend the date parser"
_PATCH: Final = b"""diff --git a/src/dates.py b/src/dates.py
--- a/src/dates.py
+++ b/src/dates.py
@@ -1 +1 @@
-DATE = 2
+DATE = 1
"""
_TALK: Final[list[dict[str, Any]]] = [
    {
        "type": "agent_message",
        "message": "I’ll look at the parser first, then reproduce the failure.",
    },
    {"type": "tool_use", "id": "1", "tool": "read_file", "parameters": {"path": "src/dates.py"}},
    {"type": "tool_result", "id": "1", "status": "success", "output": _OLD},
    {
        "type": "tool_use",
        "id": "2",
        "tool": "run_command",
        "parameters": {"command": "python -m pytest -q tests/test_dates.py"},
    },
    {
        "type": "tool_result",
        "id": "2",
        "status": "error",
        "exit_code": 1,
        "output": "F.....\n1 failed, 5 passed in 0.08s",
    },
    {
        "type": "agent_message",
        "message": _WHY,
    },
    {
        "type": "tool_use",
        "id": "3",
        "tool": "edit_file",
        "parameters": {"path": "src/dates.py", "old_string": _OLD, "new_string": _NEW},
    },
    {"type": "tool_result", "id": "3", "status": "success"},
    {
        "type": "tool_use",
        "id": "4",
        "tool": "run_command",
        "parameters": {"command": "python -m pytest -q"},
    },
    {
        "type": "tool_result",
        "id": "4",
        "status": "success",
        "exit_code": 0,
        "output": "......\n6 passed in 0.09s",
        "duration_ms": 1240,
    },
    {
        "type": "agent_message",
        "message": "Done: days and months may have one digit, and whatever is no date says so.",
    },
]
_FILES: Final = {
    "job.patch": _PATCH,
    "report.md": b"# Dates\n\nDays of **one digit** are dates, too.\n\n- parser\n- tests\n",
    "result.json": b'{"passed": 6, "failed": 0}',
}
NODES: Final = ("n1", "n2")
_NODE: Final = {
    "slots": 8, "cpus": 8, "cpu_overcommit": 4.0, "memory": 32 * 2**30, "disk": 400 * 2**30,
    "images": ["localhost/knify/base:latest"], "agents": ["claude_task", "codex_task"],
    "podman": "ok", "time": 0,
}  # fmt: skip
_LINES: Final = [
    {"name": "podman", "level": "ok", "message": "4.3.1", "cure": ""},
    {
        "name": "disk",
        "level": "warning",
        "message": "12 GiB are free below /srv",
        "cure": "make room",
    },
]


def beat(core: Core) -> None:
    """Its nodes live for another minute."""
    for name in NODES:
        core.store.registry.heartbeat(name, _NODE | {"time": clock.now_ms()}, machine=name)


def play(core: Core, api: Api) -> dict[str, str]:
    """Name of a picture to the path of its page. `api`: of an admin of the tenant `default`."""
    beat(core)
    for name in NODES:
        core.store.checkups.note(name, Checkup(clock.now_ms(), _LINES[: 1 + (name == "n2")]))
    core.store.minutes.note(clock.now_ms() - 60_000)
    project = "/v1/workspaces/default/projects/reports/jobs"
    body = {
        "name": "nightly-import",
        "image": "localhost/knify/base:latest",
        "command": "make import",
    }
    planned = api.post(project, body | {"schedule": "0 2 * * 1-5", "timezone": "Europe/Berlin"})
    definition = planned.get_json()["data"]["id"]
    for name in ("website", "e2e-fixtures", "billing"):
        api.upload(
            archive({"README.md": b"# Hello", "src/app.py": name.encode()}), f"{name}.tar.gz"
        )
    api.post("/webhooks", {"url": "https://hooks.example.com/knify", "events": ["job.failed"]})
    for n in range(9):
        made = _submit(core, f"Lint service {n + 1}", {"team": ("web", "infra")[n % 2]})
        told.end(core, told.running(core, made))
    _fail(core, _submit(core, "Nightly import", {"team": "data"}))
    agent = _mended(core)
    output = _printing(core)
    core.store.client.delete(f"{minutes.MINUTES}:at")
    core.store.minutes.note(clock.now_ms())
    _submit(core, "Publish the docs", {"team": "docs"})
    return {
        "jobs": "/jobs", "job": f"/jobs/{agent}", "output": f"/jobs/{output}",
        "new-job": "/jobs/new?type=claude_task",
        "files": f"/jobs/{agent}?view=files&file=1", "new-task": "/tasks/new",
        "schedule": f"/schedules/reports/{definition}", "workspaces": "/workspaces",
        "sandbox": f"/sandboxes/{core.store.executions.get(agent, tenant='default').sandbox_id}",
        "webhooks": "/webhooks", "keys": "/keys", "system": "/system",
    }  # fmt: skip


def _submit(core: Core, name: str, metadata: dict[str, str], **request: object) -> str:
    asked = {"job_type": "command_task", "command": f"make {name.lower()}"} | request
    submission = jobs.Submission(asked | {"metadata": metadata}, name=name)
    return jobs.submit(core, "default", submission).answer.id


def _fail(core: Core, job_id: str) -> None:
    x = told.lines(core, told.running(core, job_id), ["reading", "no such table: customers"])
    core.store.executions.move(
        x, State.FAILED, error="exit code 3: no such table: customers", exit_code=3,
        entries=[final_entry("failed", clock.now_ms())], sandbox={"state": "paused"},
    )  # fmt: skip


def _mended(core: Core) -> str:
    """An agent's job, with another turn of its sandbox under way."""
    prompt = "The date parser fails for days without a leading zero. Mend it, and add a test."
    agent = {"job_type": "claude_task", "prompt": prompt, "model": "sonnet-4.5", "command": None}
    asked = {name: value for name, value in agent.items() if value is not None}
    job_id = jobs.submit(
        core, "default",
        jobs.Submission(asked | _ABOUT, name=_NAME),
    ).answer.id  # fmt: skip
    x = told.events(core, told.running(core, job_id), *_TALK)
    usage = {
        "input_tokens": 48_213,
        "output_tokens": 1_822,
        "cached_tokens": 31_000,
        "cost_usd": 0.1342,
    }
    told.end(core, x, _FILES, usage=usage)
    more = jobs.Submission({"job_type": "claude_task", "prompt": "Now the same for times."})
    turn = jobs.continue_(core, "default", job_id, more).answer.id
    told.events(core, told.running(core, turn), *_TALK[:3])
    return job_id


def _printing(core: Core) -> str:
    x = told.running(core, _submit(core, "Migrate the customer archive", {"team": "data"}))
    words = {True: "\x1b[33mslow\x1b[0m", False: "\x1b[32mdone\x1b[0m"}
    texts = [f"batch {n:4}  rows {n * 250:,}  {words[n % 7 == 0]}" for n in range(1, 400)]
    told.lines(core, x, texts)
    return x.id
