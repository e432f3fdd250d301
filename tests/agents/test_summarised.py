"""An agent adds a summary to an examination: behind the report, which stands without it, too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from knify import errors, model
from knify import spec as spec_module
from knify.agents import base, registry, summarised

YAML = b"sources: {a: {kind: csv, path: a.csv, user: u, time: t}}"
DONE = '{"type": "result", "subtype": "success", "is_error": false, "result": "he bought much"}'
SPEC = model.ExecutionSpec(
    "user_exam", user_id="u1", time_range=(0, 10**13), agent="cursor", prompt="Look at refunds."
)


def _adapter(said: model.Said | None = None) -> summarised.Summarised:
    made = registry.adapter("user_exam", "n", said, actor="cursor_task")
    assert isinstance(made, summarised.Summarised)
    return made


def _read(path: str) -> bytes:
    if path == "sources.yaml":
        return YAML
    raise errors.NotFound(path)


def _examined(adapter: summarised.Summarised) -> list[dict[str, Any]]:
    event = {"type": "agent_message", "message": "3 rows in 1 of 1 sources"}
    return adapter.feed("stdout", f"{adapter._exam._mark} {json.dumps(event)}")


def test_the_agent_gets_what_was_found_and_what_the_job_asks() -> None:
    plan = _adapter().prepare(SPEC, _read)

    assert plan.argv[:4] == (base.BUSYBOX, "sh", f"{base.TURN}/exam.sh", "cursor-agent")
    assert "summary.md" in plan.argv[-1] and plan.argv[-1].endswith("\n\nLook at refunds.")
    assert {"exam.pyz", "plan.json", "exam.sh"} <= set(plan.files)


def test_lines_of_both_are_read_by_whom_they_belong_to() -> None:
    adapter = _adapter()

    events = _examined(adapter)
    adapter.feed("stdout", DONE)

    assert [e["type"] for e in events] == ["agent_message", "file_created"]
    ended = adapter.judge(model.Outcome("exited", 0))
    assert (ended.succeeded, ended.result) == (True, "he bought much")
    assert adapter.own_line("stdout", f"{adapter._exam._mark} x") is None
    assert adapter.own_line("stdout", DONE) == DONE


@pytest.mark.parametrize("kind", ["exited", "lingered"])
def test_an_agent_that_fails_leaves_the_report_and_a_warning(kind: str) -> None:
    adapter = _adapter()
    _examined(adapter)
    adapter.feed("stderr", "Error: 401 Unauthorized")

    ended = adapter.judge(model.Outcome(kind, 1, "exited with code 1"))

    assert (ended.succeeded, ended.result) == (True, "3 rows in 1 of 1 sources")
    (told,) = adapter.end(ended)
    assert told["type"] == "warning"
    assert "401" in told["message"]


@pytest.mark.parametrize("kind", ["timeout", "cancelled", "budget_exceeded"])
def test_what_stops_the_whole_job_stops_it(kind: str) -> None:
    adapter = _adapter()
    _examined(adapter)

    ended = adapter.judge(model.Outcome(kind, None, "why"))

    assert (ended.kind, ended.error) == (kind, "why")


def test_an_examination_that_fails_is_the_jobs_failure() -> None:
    ended = _adapter().judge(model.Outcome("exited", 127, "exited with code 127"))

    assert not ended.succeeded
    assert "python3" in (ended.error or "")


def test_who_takes_over_knows_that_there_is_a_report() -> None:
    first = _adapter()
    _examined(first)

    ended = _adapter(first.said).judge(model.Outcome("exited", 1, "exited with code 1"))

    assert (ended.succeeded, ended.result) == (True, "see report.md")


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("printf '*much* <b>\\n\\n![x](http://h/)' >summary.md", "> *much* &lt;b>\n>\n> !\\[x]"),
        ("ln -s /etc/hostname summary.md", None),
        ("true", None),
    ],
)
def test_the_summary_stands_behind_the_report(
    tmp_path: Path, agent: str, shown: str | None
) -> None:
    busybox = shutil.which("busybox")
    assert busybox
    workspace, turn = tmp_path / "workspace", tmp_path / "turn"
    workspace.mkdir()
    turn.mkdir()
    (workspace / "summary.md").write_text("of an earlier turn")
    plan = _adapter().prepare(SPEC, _read)
    for name, data in plan.files.items():
        text = (
            data if name.endswith("pyz") else data.replace(b"/workspace", str(workspace).encode())
        )
        (turn / name).write_bytes(text.replace(base.BUSYBOX.encode(), busybox.encode()))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"

    argv = [busybox, "sh", str(turn / "exam.sh"), "sh", "-c", f"{agent}; exit 3"]
    done = subprocess.run(
        argv, cwd=workspace, env={"PATH": path}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (3, "")
    report = (workspace / "report.md").read_text()
    assert report.startswith("# User u1")
    assert ("## Summary by cursor" in report) == (shown is not None)
    assert "earlier" not in report and (shown or "") in report


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"agent": "runbook"}, "this version has none, claude"),
        ({"prompt": "x"}, "prompt is for an agent"),
        ({"agent": "none", "model": "haiku"}, "model is for an agent"),
        ({"agent": "gemini", "model": "haiku"}, "has no model"),
    ],
)
def test_without_an_agent_there_is_nobody_to_be_told(fields: dict[str, Any], why: str) -> None:
    span = {"from": "2025-01-01T00:00:00Z", "to": "2025-01-02T00:00:00Z"}
    request = {"job_type": "user_exam", "user_id": "u", "time_range": span}

    with pytest.raises(errors.BadRequest, match=why):
        spec_module.build(request | fields, allowed_images=())
    built = spec_module.build(request | {"agent": "claude", "prompt": "x"}, allowed_images=())
    assert built.actor == "claude_task"
