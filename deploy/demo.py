"""`make demo`: the main job from nothing to its result, on a stack of its own that leaves nothing.

Uploads the example workspace, runs its runbook as a job over HTTP, follows events and output
live, shows the artifacts, continues in the same sandbox, cleans up, stops.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from knify import units
from knify.client import Client, Job
from knify.host import containers_conf, purge
from knify.settings import load

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "inspect-package"
console = Console(highlight=False, soft_wrap=True)
started = time.monotonic()


def main() -> int:
    """Run the demo; 0 when both jobs completed and everything is gone again."""
    home = Path(tempfile.mkdtemp(prefix="knify-demo-")) / "home"
    port = str(_free_port())
    os.environ |= {"KNIFY_HOME": str(home), "KNIFY_PORT": port}
    os.environ["KNIFY_URL"] = f"http://127.0.0.1:{port}"
    try:
        with _stack(home), Client() as client:
            done = _story(client)
    finally:
        _leave_nothing(home)
    step("Stopped. All that this demo made is gone again.")
    console.print()
    console.print(
        "[bold]What you saw[/]: a workspace uploaded, a runbook run in an isolated sandbox,"
    )
    console.print("its output live, its files with checksums, a second job in the same sandbox.")
    console.print("[bold]Keep it running[/] with [bold]make up[/], then in another terminal:")
    console.print("  .venv/bin/knify run @runbook.md --workspace examples/inspect-package")
    return 0 if done else 1


def _story(client: Client) -> bool:
    step("Uploading examples/inspect-package as a workspace")
    workspace = client.upload_workspace(EXAMPLE, "inspect-package")
    console.print(
        f"  {workspace['path']} version {workspace['version']}, {workspace['sha256'][:12]}"
    )
    step("Job 1: its runbook inspects the package, runs its tests, writes a report")
    first = client.create_job(
        {"job_type": "runbook_task", "prompt": "@runbook.md", "workspace_path": workspace["path"]}
    )
    one = _follow(client, first.job_id)
    _show_artifacts(client, one)
    step("Job 2: continues in the same sandbox, where the files of job 1 lie")
    second = client.continue_job(one.id, {"job_type": "runbook_task", "prompt": "@follow-up.md"})
    two = _follow(client, second.job_id)
    _show_artifacts(client, two)
    step("Cleaning up the sandbox")
    client.cleanup(two.id)
    return one.status == two.status == "completed"


def _follow(client: Client, job_id: str) -> Job:
    """Print events and output of a job as they come, until its end."""
    events = threading.Thread(target=_print_events, args=(job_id,), daemon=True)
    events.start()
    for frame in client.stream_output(job_id):
        _print_output(frame.data)
    events.join(10)
    job = client.job(job_id)
    console.print(f"  {job_id} is [bold]{job.status}[/] (sandbox {job.sandbox_id})")
    return job


def _print_events(job_id: str) -> None:
    with Client() as client:
        for frame in client.stream_events(job_id):
            event = frame.data
            console.print(
                Text(f"  · {event['ts'][11:23]} {event['stage']}: {event['detail']}", "cyan")
            )


def _print_output(event: dict[str, str]) -> None:
    kind = event["type"]
    if kind == "progress":
        console.print(Text(f"  │ {event['message']}", "dim" if event["stream"] == "stderr" else ""))
    elif kind == "agent_message":
        console.print(Text(f"  {event['message'].splitlines()[0].lstrip('# ')}", "bold"))
    elif kind == "tool_result":
        good = event["status"] == "success"
        console.print(
            Text("  ✓" if good else "  ✗ this step failed", "green" if good else "yellow")
        )


def _show_artifacts(client: Client, job: Job) -> None:
    for artifact in client.artifacts(job.id):
        size = units.show_size(artifact.size or 0)
        sha256 = (artifact.sha256 or "")[:12]
        console.print(Text(f"  {artifact.path:<28}  {size:>9}  {sha256}"))


@contextmanager
def _stack(home: Path) -> Iterator[None]:
    """`knify up` in the demo's home; stopped in the end."""
    step("Starting Redis, Podman's service, API, worker and beat (knify up)")
    log = home.parent / "up.log"
    with log.open("wb") as file:
        up = subprocess.Popen(
            [sys.executable, "-m", "knify.cli.main", "up"], stdout=file, stderr=file
        )
    try:
        while b"ready on" not in log.read_bytes():
            if up.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.1)
        console.print(f"  ready on {os.environ['KNIFY_URL']}")
        yield
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)


def _leave_nothing(home: Path) -> None:
    marker = home / "installation"
    if marker.exists():
        purge.purge(marker.read_text().strip(), containers_conf.path(load()))
    shutil.rmtree(home.parent, ignore_errors=True)


def step(line: str) -> None:
    """A heading with the seconds since the demo began."""
    console.print()
    console.print(Text(f"▸ {time.monotonic() - started:5.1f} s  {line}", "bold green"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
