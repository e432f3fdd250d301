from __future__ import annotations

import os
import shutil
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from knify import errors, model
from knify.agents import base, markdown, runbook
from tests.agents import driving

SHELLS = [("sh",), ("bash", "--posix"), ("busybox", "sh")]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


@pytest.mark.parametrize("shell", SHELLS)
def test_steps_run_in_order_and_each_is_told(tmp_path: Path, shell: tuple[str, ...]) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"needs {shell[0]}")
    prompt = (
        "# Title\n\nSome *words*.\n\n```sh\necho one\necho oops >&2\n```\n\n## Next\n\n"
        "```python\nprint('two')\n```\n\nDone.\n"
    )

    done = driving.run(prompt, tmp_path, tmp_path / "turn", shell=shell)

    assert done.exit_code == 0
    told = [event for event in done.events if event.get("stream") != "stderr"]
    assert [event["type"] for event in told] == [
        "agent_message", "tool_use", "progress", "tool_result",
        "agent_message", "tool_use", "progress", "tool_result", "agent_message",
    ]  # fmt: skip
    assert told[0]["message"] == "# Title\n\nSome *words*."
    assert told[1]["parameters"] == {"language": "shell", "command": "echo one\necho oops >&2"}
    assert told[1]["id"] == told[3]["id"] != told[5]["id"]
    assert (told[3]["status"], told[3]["exit_code"]) == ("success", 0)
    assert told[3]["duration_ms"] >= 0
    assert told[6] == {"type": "progress", "message": "two", "stream": "stdout"}
    assert told[8]["message"] == "Done."
    assert done.lines("stderr") == ["oops"]


def test_its_steps_begin_in_the_folder_that_was_asked_for() -> None:
    repository = model.Repository("https://h.test/r.git", subpath="a b")
    spec = model.ExecutionSpec("runbook_task", prompt="```sh\npwd\n```", repository=repository)

    plan = runbook.Runbook("n").prepare(spec, lambda path: b"")

    assert "workspace='/workspace/a b'" in plan.files["driver.sh"].decode()


def test_the_first_failing_step_ends_the_run_with_its_code(tmp_path: Path) -> None:
    done = driving.run("```sh\nexit 7\n```\n```sh\ntouch never\n```", tmp_path, tmp_path / "t")

    assert done.exit_code == 7
    assert [event["exit_code"] for event in done.of("tool_result")] == [7]
    assert len(done.of("tool_use")) == 1
    assert not (tmp_path / "never").exists()


def test_the_first_failing_command_fails_its_step(tmp_path: Path) -> None:
    done = driving.run("```sh\nfalse\ntouch never\n```", tmp_path, tmp_path / "t")

    assert done.exit_code == 1
    assert not (tmp_path / "never").exists()


def test_a_step_may_be_allowed_to_fail(tmp_path: Path) -> None:
    prompt = "```python continue-on-error\nraise SystemExit(3)\n```\n```sh\necho on\n```"

    done = driving.run(prompt, tmp_path, tmp_path / "t")

    assert done.exit_code == 0
    assert [event["status"] for event in done.of("tool_result")] == ["error", "success"]
    assert done.lines() == ["on"]


def test_files_persist_between_steps_and_variables_do_not(tmp_path: Path) -> None:
    prompt = "```sh\nexport A=1\nmkdir d\ncd d\n```\n```sh\necho ${A-unset} $PWD\nls\n```"

    done = driving.run(prompt, tmp_path, tmp_path / "t")

    assert done.lines()[0] == f"unset {tmp_path}"
    assert "d" in done.lines()


@needs_node
def test_javascript_runs_under_node(tmp_path: Path) -> None:
    done = driving.run("```js\nconsole.log(6 * 7)\n```", tmp_path, tmp_path / "t")

    assert done.lines() == ["42"]


@pytest.mark.parametrize(("language", "program"), [("python", "python3"), ("node", "node")])
def test_a_missing_interpreter_is_named(tmp_path: Path, language: str, program: str) -> None:
    busybox = shutil.which("busybox") or pytest.skip("needs busybox")

    done = driving.run(
        f"```{language}\n1\n```", tmp_path, tmp_path / "t", shell=(busybox, "sh"),
        env={"PATH": str(tmp_path / "empty")},
    )  # fmt: skip

    assert done.exit_code == 127
    assert f"this image has no {program}" in done.lines("stderr")[0]


def test_shell_steps_need_no_bash(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which("sh") or pytest.skip("needs sh"))

    done = driving.run(
        "```bash\necho ${BASH_VERSION-none}\n```", tmp_path, tmp_path / "t",
        shell=(str(tools / "sh"),), env={"PATH": str(tools)},
    )  # fmt: skip

    assert done.lines() == ["none"]


def test_output_without_a_newline_hides_no_result(tmp_path: Path) -> None:
    prompt = "```sh\nprintf half\nprintf err >&2\n```\n```sh\nprintf end >&2\n```"

    done = driving.run(prompt, tmp_path, tmp_path / "t")

    assert done.lines() == ["half"]
    assert done.lines("stderr") == ["err", "end"]
    assert len(done.of("tool_result")) == 2


def test_a_step_cannot_swallow_the_driver_through_stdin(tmp_path: Path) -> None:
    done = driving.run("```sh\ncat\n```\n```sh\necho still\n```", tmp_path, tmp_path / "t")

    assert done.lines() == ["still"]


def test_hostile_code_stays_code(tmp_path: Path) -> None:
    code = "cat <<'X'\n'\"`$(touch never)\\ é %s\nX"

    done = driving.run(
        f'It\'s "$(touch never)" \\n\n\n```sh\n{code}\n```', tmp_path, tmp_path / "t"
    )

    assert done.lines() == ["'\"`$(touch never)\\ é %s"]
    assert done.of("tool_use")[0]["parameters"]["command"] == code
    assert done.of("agent_message")[0]["message"] == 'It\'s "$(touch never)" \\n'
    assert not (tmp_path / "never").exists()


def test_the_mark_is_not_in_the_steps_environment(tmp_path: Path) -> None:
    done = driving.run(
        "```sh\nenv\necho $mark $0\n```", tmp_path, tmp_path / "t", env=dict(os.environ)
    )

    mark = runbook.Runbook("nonce")._mark
    assert not [line for line in done.lines() if mark in line]
    assert "nonce" not in mark


def test_a_step_that_is_cut_off_gets_a_result_at_the_end(tmp_path: Path) -> None:
    adapter = runbook.Runbook("n")
    adapter.feed("stdout", f'{adapter._mark} event {{"type": "tool_use", "id": "01"}}')

    assert adapter.end(model.Outcome("timeout", None, "too slow")) == [
        {"type": "tool_result", "id": "01", "status": "error", "output": "too slow"}
    ]
    assert adapter.end(model.Outcome("timeout")) == []


@hypothesis.given(st.text(), st.sampled_from(["stdout", "stderr"]), st.integers(0, 3))
def test_feed_never_raises_and_never_shows_a_mark(
    line: str, stream: base.Stream, kind: int
) -> None:
    adapter = runbook.Runbook("n")
    said = ["", f"{adapter._mark} event ", f"{adapter._mark} end ", adapter._mark][kind]

    for event in adapter.feed(stream, f"{line}{said}{line}"):
        assert event["type"] in ("progress", "tool_result")
        assert adapter._mark not in str(event)


def test_raw_lines_are_the_steps_own() -> None:
    adapter = runbook.Runbook("n")

    assert adapter.own_line("stdout", "") == ""
    assert adapter.own_line("stdout", "plain") == "plain"
    assert adapter.own_line("stdout", f"half{adapter._mark} end 01 0") == "half"
    assert adapter.own_line("stderr", adapter._mark) is None


def test_a_forged_event_of_another_kind_is_dropped() -> None:
    adapter = runbook.Runbook("n")

    assert adapter.feed("stdout", f'{adapter._mark} event {{"type": "completed"}}') == []


def test_a_runbook_is_read_from_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books/my run.md").write_text("```sh\necho found\n```")

    assert driving.run("@books/my run.md\n", tmp_path, tmp_path / "t").lines() == ["found"]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("@missing.md", "holds no runbook missing.md"),
        ("@../x.md", "not below the workspace"),
        ("@/etc/passwd", "not below the workspace"),
        ("@", "not below the workspace"),
        ("@binary.md", "is not UTF-8"),
        ("@large.md", "larger than 1 MiB"),
        ("", "nothing to run"),
        ("only words", "nothing to run"),
        ("```\nplain\n```\n```yaml\na: b\n```\n```sh skip\nx\n```\n```sh\n\n```", "nothing to run"),
        ("```sh\n:\n```\n" * 201, "more than 200 steps"),
    ],
)
def test_a_runbook_that_cannot_run_is_refused(tmp_path: Path, prompt: str, reason: str) -> None:
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    (tmp_path / "large.md").write_bytes(b" " * (runbook.MAX_SIZE + 1))
    spec = model.ExecutionSpec("runbook_task", prompt=prompt)

    with pytest.raises(errors.BadRequest, match=reason):
        runbook.Runbook("n").prepare(spec, driving.reader(tmp_path))


def test_fences_that_are_not_run_are_noted() -> None:
    text = "Like this:\n\n```yaml\na: b\n```\n\n```sh skip\nrm -rf /\n```\n\n```sh\ntrue\n```"

    (step,) = markdown.steps(text)

    assert step.text == "Like this:\n\n(Not run: a block of yaml.)\n\n(Not run: a block of sh.)"
    assert step.code == "true\n"


def test_a_console_transcript_runs_only_what_was_typed() -> None:
    text = "```console\n$ echo a \\\n  b\na b\n$ cat <<X\n> y\n> X\ny\n```"

    assert markdown.steps(text)[0].code == "echo a \\\n  b\ncat <<X\ny\nX\n"


def test_fences_in_lists_and_of_every_spelling_run() -> None:
    names = ["sh", "bash", "shell", "Python", "python3", "py", "js", "javascript", "node"]
    text = "\n".join(f"- item\n\n  ```{name}\n  code\n  ```\n" for name in names)

    assert [step.language for step in markdown.steps(text)] == (
        ["shell"] * 3 + ["python"] * 3 + ["javascript"] * 3
    )


def test_a_plan_is_started_by_our_own_shell() -> None:
    spec = model.ExecutionSpec("runbook_task", prompt="```sh\n:\n```", env={"A": "b"})

    plan = runbook.Runbook("n").prepare(spec, driving.reader(Path("/nowhere")))

    assert plan.argv == ("/.knify/busybox", "sh", "/run/knify/turn/driver.sh")
    assert plan.env == {"A": "b"}
    assert set(plan.files) == {"01.events", "01.sh", "driver.sh"}
