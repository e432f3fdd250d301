"""A backup of what runs, put back into an empty home: all is there, and nothing ran twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from knify.client import ApiError, Client
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.slow, pytest.mark.stack, pytest.mark.podman]
EXAMPLE = Path(__file__).parents[2] / "examples" / "inspect-package"
NIGHTLY = {"name": "nightly", "command": "date", "schedule": "30 4 * * *"}
WORDS = "correct horse battery staple"


def knify(home: Path, *words: str) -> str:
    """What the command prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")}
    argv = [sys.executable, "-m", "knify.cli.main", *words]
    done = subprocess.run(
        argv, env=env | {"KNIFY_HOME": str(home)}, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_schedules_workspaces_history_and_jobs_under_way_come_back(tmp_path: Path) -> None:
    words, file = tmp_path / "words", tmp_path / "backup.tar"
    words.write_text(WORDS)
    new = stack_part.Stack(Path(tempfile.mkdtemp(prefix="kn-")) / "h", KNIFY_NODE="box")
    with stack_part.running(KNIFY_NODE="box") as old:
        with old.client() as client:
            workspace = client.upload_workspace(EXAMPLE, "example")
            kept = parts.ran(client, "echo kept > kept.txt; echo a line")
            gone = parts.ran(client, "echo gone > gone.txt")
            client.create_project_job("p", NIGHTLY)
            running = parts.submit(client, parts.COUNTING.format(n=300))
            stack_part.eventually(lambda: "line 5" in parts.lines(client, running))
            waiting = client.continue_job(
                running, {"job_type": "command_task", "command": "wc -l < starts"}
            ).job_id
            said = knify(old.home, "backup", str(file), "--passphrase-file", str(words))
            after = parts.ran(client, "echo after the backup")
        assert str(file) in said
        old.kill_all()
        try:
            for kind in ("container", "volume"):
                _remove(kind, gone.sandbox_id or "")
            knify(new.home, "restore", str(file), "--passphrase-file", str(words))
            new.start()
            with new.client() as client:  # with the first installation's admin key
                assert client.workspace(workspace["workspace_id"])["name"] == "example"
                assert parts.lines(client, kept.id) == ["a line"]
                assert [job.name for job in client.project_jobs("p")] == ["nightly"]
                with pytest.raises(ApiError):
                    client.job(after.id)
                client.wait(running, timeout=90)
                parts.assert_counted(client, running, 300)
                assert client.wait(waiting, timeout=60).status == "completed"
                assert parts.lines(client, waiting) == ["1"]  # it was started once
                again = client.continue_job(
                    kept.id, {"job_type": "command_task", "command": "cat kept.txt"}
                ).job_id
                assert client.wait(again, timeout=60).status == "completed"
                assert parts.lines(client, again) == ["kept"]
                lost = lambda: _state(client, gone.sandbox_id) == "lost"  # noqa: E731
                stack_part.eventually(lost, seconds=150)
        finally:
            if new.is_running:
                new.stop()
            new.purge()
    shutil.rmtree(new.home.parent, ignore_errors=True)


def _state(client: Client, sandbox: str | None) -> str | None:
    return client.sandbox(sandbox or "").state


def _remove(kind: str, sandbox: str) -> None:
    listed = ["podman", kind, "ls", "-q", "--filter", f"label=knify.sandbox={sandbox}"]
    more = ["-a"] if kind == "container" else []
    found = subprocess.run([*listed, *more], capture_output=True, text=True, check=True)
    for name in found.stdout.split():
        stack_part.eventually(lambda name=name: _is_removed(kind, name))


def _is_removed(kind: str, name: str) -> bool:
    """Podman, killed a moment ago, may have left it in a state that it first has to notice."""
    done = subprocess.run(["podman", kind, "rm", "-f", name], capture_output=True, text=True)
    print(done.stderr)
    return done.returncode == 0
