"""`fh_e2e_tools`: which runbook runs, and what becomes of the pictures."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from knify import errors, model
from knify import spec as spec_module
from knify.agents import base, e2e_tools, packed, registry
from knify.agents.e2e import report
from tests.parts.stack import eventually

RUNBOOK = b"```sh\necho from the runbook\n```\n"


def _prepare(prompt: str, files: dict[str, bytes]) -> base.Plan:
    def read(path: str) -> bytes:
        if path not in files:
            raise errors.NotFound(path)
        return files[path]

    spec = model.ExecutionSpec(job_type="fh_e2e_tools", prompt=prompt)
    return e2e_tools.E2E("n").prepare(spec, read)


@pytest.mark.parametrize(
    "prompt",
    [
        "Create a test user using the runbook @create-user.md",
        "@create-user.md",
        "@runbooks/create-user.md, please",
        "(see @create-user.md)",
    ],
)
def test_a_prompt_names_its_runbook_anywhere(prompt: str) -> None:
    plan = _prepare(prompt, {"runbooks/create-user.md": RUNBOOK})

    assert plan.files["01.sh"] == b"echo from the runbook\n"


def test_several_runbooks_run_one_behind_the_other() -> None:
    files = {"runbooks/a.md": RUNBOOK, "b.md": RUNBOOK.replace(b"from", b"of")}

    plan = _prepare("First @a.md, then @b.md and @a.md again", files)

    assert [plan.files[f"{n:02}.sh"] for n in (1, 2)] == [
        b"echo from the runbook\n", b"echo of the runbook\n",
    ]  # fmt: skip
    assert "03.sh" not in plan.files


def test_a_prompt_may_be_the_runbook_itself() -> None:
    assert _prepare("Mail me@example.org\n```sh\ntrue\n```", {}).files["01.sh"] == b"true\n"


@pytest.mark.parametrize(
    ("prompt", "why"),
    [
        ("Create a user", "must name a runbook"),
        ("@none.md", "no runbook none.md, nor runbooks/none.md"),
        ("@a/../../x.md", "not below the workspace"),
        ("mail@create-user.md", "must name a runbook"),
    ],
)
def test_a_prompt_without_a_runbook_says_what_is_missing(prompt: str, why: str) -> None:
    with pytest.raises(errors.BadRequest, match=why):
        _prepare(prompt, {"runbooks/create-user.md": RUNBOOK})


def _made(tmp_path: Path, script: str) -> tuple[e2e_tools.E2E, Path, list[str]]:
    """The adapter, the workspace, and the command that runs here what would run in a sandbox."""
    busybox = shutil.which("busybox")
    assert busybox
    workspace, turn = tmp_path / "workspace", tmp_path / "turn"
    workspace.mkdir()
    turn.mkdir()
    adapter = e2e_tools.E2E("n", workspace=str(workspace), busybox=busybox)
    spec = model.ExecutionSpec(job_type="fh_e2e_tools", prompt=f"```sh\n{script}\n```")
    plan = adapter.prepare(spec, lambda path: b"")
    for name, data in plan.files.items():
        (turn / name).write_bytes(data)
    argv = [busybox, "sh", str(turn / "e2e.sh"), busybox, "sh", str(turn / "driver.sh")]
    return adapter, workspace, argv


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 7", 7)])
def test_the_report_comes_also_after_a_failure_and_the_code_stays(
    tmp_path: Path, script: str, code: int
) -> None:
    adapter, workspace, argv = _made(tmp_path, script)

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.replace(adapter._mark, "").strip()) == (code, "")
    events = [e for line in done.stdout.splitlines() for e in adapter.feed("stdout", line)]
    assert [e["type"] for e in events] == ["tool_use", "tool_result", "agent_message"]
    assert json.loads((workspace / "result.json").read_text())["exit_code"] == code
    assert (workspace / "report.md").is_file()


def test_a_run_that_is_ended_at_its_time_limit_leaves_its_report(tmp_path: Path) -> None:
    seen = "e2e-results/login"
    script = f"mkdir -p {seen}; echo png >{seen}/01-form.png; touch begun; exec sleep 600"
    _, workspace, argv = _made(tmp_path, script)

    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        eventually(lambda: (workspace / "begun").exists())
        os.killpg(process.pid, signal.SIGTERM)

    assert process.returncode == 128 + signal.SIGTERM
    (session,) = json.loads((workspace / "result.json").read_text())["sessions"]
    assert (session["name"], session["error"]) == ("login", "it did not come to its end")
    assert f"]({seen}/01-form.png)" in (workspace / "report.md").read_text()


def _session(workspace: Path, name: str, **told: object) -> Path:
    folder = workspace / "e2e-results" / name
    folder.mkdir(parents=True)
    (folder / "01-page.png").write_bytes(b"png")
    (folder / "trace.zip").write_bytes(b"zip")
    fields = {
        "status": "passed", "seconds": 1.5, "files": ["trace.zip", "gone.webm"],
        "shots": [{"file": "01-page.png", "title": "The page", "url": "http://h/"}],
        "console": [{"type": "log", "text": "x"}, {"type": "error", "text": "bad"}],
    }  # fmt: skip
    (folder / "session.json").write_text(json.dumps(fields | told))
    return folder


def test_a_report_shows_pictures_traces_and_errors(tmp_path: Path) -> None:
    _session(tmp_path, "login")

    result = report.write(tmp_path, 0, 0)

    assert result["summary"] == "1 browser session, 1 screenshot, 1 error in the console"
    text = (tmp_path / "report.md").read_text()
    assert "![The page](e2e-results/login/01-page.png)" in text
    assert "Recorded: [trace.zip](e2e-results/login/trace.zip)" in text
    assert "- error: bad" in text
    assert "gone.webm" not in text


def test_a_failed_session_is_named_with_its_error(tmp_path: Path) -> None:
    _session(tmp_path, "login", status="failed", error="TimeoutError: nothing came")

    result = report.write(tmp_path, 1, 0)

    assert result["summary"].endswith("; failed: login")
    assert "> TimeoutError: nothing came" in (tmp_path / "report.md").read_text()


def test_sessions_of_an_earlier_turn_are_left_out(tmp_path: Path) -> None:
    old = _session(tmp_path, "old")
    os.utime(old / "session.json", (1_000, 1_000))
    _session(tmp_path, "new")

    assert [one["name"] for one in report.write(tmp_path, 0, 2_000)["sessions"]] == ["new"]


@pytest.mark.parametrize(
    "told",
    [
        {"shots": 3}, {"shots": [3]}, {"console": {"a": 1}}, {"seconds": "x"}, {"files": [["a"]]},
        {"shots": [{"file": "../../secret.png", "title": "<script>|"}]},
        {"error": "<img src=x>\n# head"},
    ],
)  # fmt: skip
def test_whatever_a_session_claims_the_report_is_written_and_harmless(
    tmp_path: Path, told: dict[str, object]
) -> None:
    _session(tmp_path, "odd", **told)

    report.write(tmp_path, 0, 0)

    text = (tmp_path / "report.md").read_text()
    assert "secret.png" not in text
    assert not re.search(r"(?<!\\)<", text)
    assert "\n# head" not in text


def test_the_report_runs_by_itself(tmp_path: Path) -> None:
    program = tmp_path / "report.pyz"
    program.write_bytes(packed.program("knify.agents.e2e", "report"))
    argv = [sys.executable, "-I", str(program), str(tmp_path), "3", "0", "M"]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('M event {"type": "agent_message"')


def test_an_agent_gets_the_prompt_with_the_way_to_the_runbook_and_its_argv_is_wrapped() -> None:
    led = registry.adapter("fh_e2e_tools", "n", actor="cursor_task")
    spec = model.ExecutionSpec(
        "fh_e2e_tools", prompt="Create a user: @create-user.md", agent="cursor"
    )

    plan = led.prepare(spec, lambda path: _read({"runbooks/create-user.md": RUNBOOK}, path))

    assert plan.argv[:2] == ("/.knify/busybox", "sh")
    assert plan.argv[3] == "cursor-agent"
    assert plan.argv[-1].startswith(
        "Create a user: @create-user.md\n\nThe runbook create-user.md is"
    )
    assert "`runbooks/create-user.md`" in plan.argv[-1]
    assert {"e2e.sh", "report.pyz"} <= set(plan.files)


def test_what_an_agent_tells_is_read_by_its_own_adapter() -> None:
    led = registry.adapter("fh_e2e_tools", "n", actor="cursor_task")

    led.feed(
        "stdout", '{"type": "result", "subtype": "success", "is_error": false, "result": "done"}'
    )

    ended = led.judge(model.Outcome("exited", 0))
    assert (ended.succeeded, ended.result) == (True, "done")
    assert led.said is not None and led.said.verdict == "ok"


def test_an_agent_that_is_none_is_refused() -> None:
    request = {"job_type": "fh_e2e_tools", "prompt": "x", "agent": "command"}

    with pytest.raises(
        errors.BadRequest, match="this version has runbook, claude, codex, cursor, gemini"
    ):
        spec_module.build(request, allowed_images=())
    found = spec_module.build(request | {"agent": "cursor"}, allowed_images=())
    assert found.actor == "cursor_task"
    assert (
        spec_module.build(request | {"agent": "runbook"}, allowed_images=()).actor == "fh_e2e_tools"
    )
    with pytest.raises(errors.BadRequest, match="CURSOR_API_KEY"):
        spec_module.build(
            request | {"agent": "cursor", "env": {"CURSOR_API_KEY": "x"}}, allowed_images=()
        )


def _read(files: dict[str, bytes], path: str) -> bytes:
    try:
        return files[path]
    except KeyError:
        raise errors.NotFound(path) from None
