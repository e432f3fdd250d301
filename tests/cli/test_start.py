"""The console scripts, before there is anything that could tell of Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import click.testing
import pytest

from knify.cli import main, starting
from knify.client import blocking
from tests.client import scripted

PRESSED = """
import os, signal, sys
from knify.cli import start

signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, too

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "knify.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Presses())
sys.argv = ["knify", "--version"]
start.knify()
"""


@pytest.mark.parametrize("environ", [{}, {"_KNIFY_COMPLETE": "bash_complete"}])
def test_ctrl_c_during_imports_is_quiet(environ: dict[str, str]) -> None:
    code = f"import os; os.environ |= {environ}\n{PRESSED}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of an installation here that nothing serves yet."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("KNIFY_HOME", str(tmp_path))
    return folder


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _jobs(port: int) -> tuple[click.testing.Result, float]:
    began = time.monotonic()
    env = {"KNIFY_URL": f"http://127.0.0.1:{port}", "KNIFY_API_KEY": "knify_test_a_b"}
    return click.testing.CliRunner().invoke(main.cli, ["jobs", "list"], env=env), (
        time.monotonic() - began
    )


def test_a_server_that_is_starting_here_is_waited_for_with_a_word(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, pauses = _free_port(), itertools.count(1)
    with (run_dir / "up.lock").open("w") as lock, contextlib.ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def pause(_: float) -> None:
            if next(pauses) == 3:  # by then it has started
                stack.enter_context(scripted.running(port)).on("GET", "/jobs", [])

        monkeypatch.setattr(blocking, "time", SimpleNamespace(sleep=pause))
        done, _ = _jobs(port)

    assert done.exit_code == 0, done.output
    assert done.output.count("`knify up` runs, and its server does not answer yet") == 1


def test_at_a_first_start_the_admin_key_is_waited_for(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_dir / "api.pid").write_text(str(os.getpid()))
    monkeypatch.setattr(starting, "_KEY_SECONDS", 0.0)
    starting.wait_for_key()  # not for ever

    def pause(_: float) -> None:
        (run_dir.parent / "admin.key").write_text("knify_test_a_b\n")

    monkeypatch.setattr(starting, "_KEY_SECONDS", 60.0)
    monkeypatch.setattr(starting, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    with scripted.running() as server:
        server.on("GET", "/jobs", [])
        done = click.testing.CliRunner().invoke(
            main.cli, ["jobs", "list"], env={"KNIFY_URL": server.url, "KNIFY_API_KEY": ""}
        )

    assert done.exit_code == 0, done.output
    assert server.requests[0].headers["authorization"] == "Bearer knify_test_a_b"


def test_where_nothing_runs_nothing_is_waited_for(run_dir: Path) -> None:
    (run_dir / "up.lock").touch()
    (run_dir / "api.pid").write_text("999999999")

    done, seconds = _jobs(_free_port())

    assert (done.exit_code, seconds < 1) == (3, True)
    assert "start it with `knify up`" in done.output


def test_a_process_of_the_api_alone_is_seen_too(run_dir: Path) -> None:
    assert starting.seen() is None

    (run_dir / "api.pid").write_text(str(os.getpid()))

    assert "the server's process runs" in (starting.seen() or "")


def test_a_silent_job_is_no_server_that_is_starting(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (run_dir / "up.lock").open("w") as lock, scripted.running() as server:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server.on("POST", "/jobs", {"job_id": "job_1", "status": "pending"})
        server.on_stream(
            "/jobs/job_1/events/stream", [{"stage": "completed", "state": "completed"}]
        )
        server.on_stream("/jobs/job_1/output/stream", [], cuts=(0,))  # broken, then without a frame
        server.on_job("job_1")
        env = {"KNIFY_URL": server.url, "KNIFY_API_KEY": "knify_test_a_b"}
        done = click.testing.CliRunner().invoke(main.cli, ["run", "true"], env=env)

        assert done.exit_code == 0, done.output
        assert len(server.seen("GET", "/jobs/job_1/output/stream")) > 2
        assert "✓ completed" in done.output and "…" not in done.output
