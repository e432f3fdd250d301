"""`user_exam`: the plan that is sent in, and what its program's lines are taken for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from knify import errors, model
from knify.agents import base, models, registry, user_exam

SPEC = model.ExecutionSpec(job_type="user_exam", user_id="u1", time_range=(0, 10**13))
YAML = b"sources: {a: {kind: csv, path: a.csv, user: u, time: t}}"


def _files(**files: bytes) -> base.WorkspaceReader:
    def read(path: str) -> bytes:
        try:
            return files[path.replace(".", "_")]
        except KeyError:
            raise errors.NotFound(path) from None

    return read


def test_the_plan_names_the_user_the_time_and_the_sources() -> None:
    plan = registry.adapter("user_exam", "n").prepare(SPEC, _files(sources_yaml=YAML))

    sent = json.loads(plan.files["plan.json"])
    assert sent["wanted"] == {
        "user_id": "u1", "start": 0, "end": 10**13, "workspace": "/workspace",
        "databases": models.DATABASES_PORT,
    }  # fmt: skip
    assert [one["name"] for one in sent["sources"]] == ["a"]
    assert plan.argv[:2] == ("python3", "-I")


def test_without_any_source_it_says_where_they_belong() -> None:
    with pytest.raises(errors.BadRequest, match=r"sources\.yaml.*KNIFY_SOURCES_FILE"):
        registry.adapter("user_exam", "n").prepare(SPEC, _files())


def test_the_operators_sources_come_first(tmp_path: Path) -> None:
    operators = tmp_path / "sources.yaml"
    operators.write_bytes(YAML.replace(b"{a:", b"{theirs:"))
    adapter = registry.adapter("user_exam", "n", sources=operators)

    plan = adapter.prepare(SPEC, _files(sources_yml=YAML))

    names = [one["name"] for one in json.loads(plan.files["plan.json"])["sources"]]
    assert names == ["theirs", "a"]


def test_the_program_runs_by_itself_and_its_lines_become_events(tmp_path: Path) -> None:
    adapter = registry.adapter("user_exam", "n")
    plan = adapter.prepare(SPEC, _files(sources_yaml=YAML))
    sent = json.loads(plan.files["plan.json"])
    sent["wanted"]["workspace"] = str(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps(sent))
    (tmp_path / "exam.pyz").write_bytes(plan.files["exam.pyz"])

    argv = [sys.executable, "-I", "exam.pyz", "plan.json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    events = [event for line in lines for event in adapter.feed("stdout", line)]
    assert [event["type"] for event in events] == ["tool_use", "tool_result", "agent_message"]
    assert [adapter.own_line("stdout", line) for line in lines] == [None] * 3
    ended = adapter.judge(model.Outcome("exited", 0))
    assert ended.result == "0 rows in 0 of 1 sources (not read: a)"
    assert (tmp_path / "report.md").is_file()


def test_what_others_print_is_only_shown() -> None:
    adapter = registry.adapter("user_exam", "n")

    for line in ("x", '{"type": "completed"}', f"{adapter._mark} nonsense", f"{adapter._mark} 3"):  # type: ignore[attr-defined]
        assert all(e["type"] == "progress" for e in adapter.feed("stdout", line))
    forged = f'{adapter._mark} {{"type": "completed", "status": "completed"}}'  # type: ignore[attr-defined]
    assert adapter.feed("stdout", forged) == []


def test_who_takes_over_knows_the_result() -> None:
    said = model.Said(text="3 rows in 1 of 1 sources")

    ended = registry.adapter("user_exam", "n", said).judge(model.Outcome("exited", 0))

    assert ended.result == "3 rows in 1 of 1 sources"


def test_an_image_without_python_is_named() -> None:
    ended = registry.adapter("user_exam", "n").judge(
        model.Outcome("exited", 127, "exited with 127")
    )

    assert "python3" in (ended.error or "")
    assert not ended.succeeded


def test_the_program_is_the_same_bytes_each_time() -> None:
    assert user_exam.program() == user_exam.program()
