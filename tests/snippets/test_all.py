"""The other snippets of the documentation, one after the other, on a real installation."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from knify.client import Client
from tests.parts import stack as stack_part
from tests.snippets.conftest import DOCS, Snippets, objects

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]


def _workspace(client: Client, folder: Path, name: str, **files: str) -> None:
    place = folder / name
    place.mkdir()
    for path, text in (files or {"main.py": "print(1)\n"}).items():
        (place / path).write_text(text)
    client.upload_workspace(place, name)


def _only(text: str) -> Any:
    (value,) = objects(text)
    return value


def _ended(client: Client, job_id: str) -> Any:
    return client.wait(job_id, timeout=90)


def test_a_workspace_made_by_the_template_is_uploaded(snippets: Snippets, client: Client) -> None:
    made = _only(snippets.bash("advanced-usage/workspace-template.sh"))

    assert (made["name"], made["path"]) == (
        "testing-template-v1",
        "/workspaces/testing-template-v1",
    )
    prompt = "RUN find . -type f | sort"
    spec = {"job_type": "cursor_task", "prompt": prompt, "workspace_path": made["path"]}
    job = _ended(client, client.create_job(spec).job_id)
    (found,) = [e["output"] for e in client.output(job.id) if e["type"] == "tool_result"]
    assert found.split() == ["./.env.example", "./config/test-config.json", "./runbooks/setup.md"]


def test_a_job_from_the_builder_runs(snippets: Snippets, client: Client) -> None:
    _workspace(client, snippets.folder, "my-app")

    made = snippets.python("advanced-usage/job_builder.py")

    assert made["response"].status_code == 200
    job = _ended(client, made["response"].json()["job_id"])
    assert job.status == "completed"
    assert job.raw["metadata"]["focus_areas"] == ["security", "performance", "maintainability"]
    (found,) = client.jobs(metadata={"type": "code_review"})
    assert found.id == job.id


def test_one_job_processes_a_batch(snippets: Snippets, client: Client) -> None:
    snippets.folder.joinpath("batch-processor").mkdir()
    items = [{"id": f"item_{n}", "data": "..."} for n in (1, 2, 3)]
    place = snippets.folder / "batch-processor" / "batch_items.json"
    place.write_text(json.dumps(items))
    client.upload_workspace(place.parent, "batch-processor")

    job = _ended(client, _only(snippets.bash("advanced-usage/batch.sh"))["job_id"])

    assert json.loads((snippets.folder / "batch_items.json").read_text()) == items
    assert job.status == "completed"
    assert {f"output/item_{n}.json" for n in (1, 2, 3)} <= set(job.files)


def test_the_orchestrator_runs_its_four_stages_in_one_sandbox(
    snippets: Snippets, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    made = snippets.python("advanced-usage/orchestrator.py")

    assert made["result"]["pipeline_status"] == "completed"
    stages = made["result"]["stages"]
    assert [stage["stage"] for stage in stages] == ["Setup", "Build", "Test", "Deploy"]
    assert all("report.md" in stage["artifacts"] for stage in stages)
    assert "Running stage 4/4: Deploy" in capsys.readouterr().out


def test_a_sandbox_is_reused_until_it_is_cleaned_up(snippets: Snippets, client: Client) -> None:
    answers = objects(snippets.bash("advanced-usage/reuse-sandboxes.sh"))

    assert answers[0]["sandbox_id"] == client.job(answers[0]["parent_job_id"]).sandbox_id
    assert answers[-1] == {"success": True, "message": "Sandbox cleaned up successfully"}


def test_a_workspace_is_uploaded_once_and_used_by_many_jobs(
    snippets: Snippets, client: Client
) -> None:
    place = snippets.folder / "my-workspace"
    place.mkdir()
    (place / "a").write_text("a")
    with tarfile.open(snippets.folder / "my-workspace.tar.gz", "w:gz") as tar:
        tar.add(place, "my-workspace")

    workspace, *jobs = objects(snippets.bash("advanced-usage/prewarm-workspaces.sh"))

    assert workspace["name"] == "my-workspace"
    assert len(jobs) == 10
    assert [_ended(client, job["job_id"]).status for job in jobs] == ["completed"] * 10


def test_all_lines_about_working_with_jobs_do_what_the_text_says(
    snippets: Snippets, client: Client
) -> None:
    def run(name: str, **env: str) -> Any:
        return _only(snippets.bash(f"working-with-jobs/{name}.sh", **env))

    _workspace(client, snippets.folder, "my-project")

    job = run("create")["job_id"]
    stream = snippets.bash("working-with-jobs/cursor-stream.sh", JOB_ID=job)
    frames = [line.removeprefix("data: ") for line in stream.splitlines() if line[:5] == "data:"]
    listed, shown = run("list"), run("show", JOB_ID=job)
    events, artifacts = run("events", JOB_ID=job), run("artifacts", JOB_ID=job)
    second = run("continue", JOB_ID=job)
    _ended(client, second["job_id"])
    cleaned = run("cleanup", JOB_ID=job)

    assert json.loads(frames[-1])["type"] == "completed"
    assert listed[0]["id"] == job
    assert shown["spec"]["model"] == "sonnet-4.5"
    documented = {"id", "spec", "status", "created_at", "started_at", "completed_at", "sandbox_id"}
    assert documented | {"cursor_session_id", "events", "artifacts", "error"} <= set(shown)
    stages = [event["stage"] for event in events["events"]]
    for stage in ("sandbox_created", "workspace_mounted", "agent_started", "sandbox_paused"):
        assert stage in stages
    assert "artifact_generated" in stages
    assert artifacts["report.md"].startswith("# Report")
    assert second["parent_job_id"] == job
    assert second["cursor_session_id"] == shown["cursor_session_id"]
    assert cleaned == {"success": True, "message": "Sandbox cleaned up successfully"}


@pytest.mark.parametrize("name", ["workspace-path", "model", "session-id", "metadata"])
def test_the_documented_options_are_taken(snippets: Snippets, client: Client, name: str) -> None:
    if name == "workspace-path":
        _workspace(client, snippets.folder, "my-project")
    body = json.loads((DOCS / "working-with-jobs" / f"{name}.json").read_text())

    answer = _post(snippets, "/jobs", body)

    assert answer.status_code == 200
    job = _ended(client, answer.json()["job_id"])
    assert (job.status, job.spec) == ("completed", body["spec"])


def _post(snippets: Snippets, path: str, body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {snippets.env['KNIFY_API_KEY']}"}
    return httpx.post(snippets.env["KNIFY_URL"] + path, json=body, headers=headers, timeout=30)


def test_the_api_references_examples_are_answered_as_it_says(
    snippets: Snippets, client: Client
) -> None:
    _workspace(client, snippets.folder, "my-project")
    here = DOCS / "api-reference"
    health = httpx.get(snippets.env["KNIFY_URL"] + "/").json()
    created = _post(snippets, "/jobs", json.loads((here / "create-job.json").read_text())).json()
    job = created["job_id"]

    said = snippets.node("api-reference/cursor-stream.mjs", JOB_ID=job)
    streamed = snippets.bash("api-reference/cursor-stream.sh", JOB_ID=job)
    next_turn = _post(
        snippets, f"/jobs/{job}/continue", json.loads((here / "continue.json").read_text())
    ).json()

    assert health["status"] == "ok"
    assert set(created) == {"job_id", "status"}
    assert "type: 'agent_message'" in said
    assert "type: 'completed'" in said
    assert '"type":"file_created"' in streamed.replace(": ", ":")
    assert set(next_turn) == {
        *("job_id", "status", "parent_job_id", "sandbox_id", "cursor_session_id"),
    }
    _ended(client, next_turn["job_id"])


def test_the_webhook_receiver_is_told_of_a_job_and_takes_signed_deliveries_only(
    snippets: Snippets, client: Client
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/webhooks/knify"
    receiver = subprocess.Popen(
        [sys.executable, str(DOCS / "advanced-usage" / "webhook_receiver.py")],
        env=os.environ | snippets.env | {"PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        refused = stack_part.eventually(lambda: _deliver(url, b"{}", "sha256=0"))
        taken = _deliver(url, b'{"type": "other"}', _signature(b'{"type": "other"}'))
        registered = _only(snippets.bash("advanced-usage/register-webhook.sh", WEBHOOK_URL=url))
        hook = registered["webhook_id"]
        job = _ended(client, client.create_job({"job_type": "cursor_task", "prompt": "Go"}).job_id)
        stack_part.eventually(lambda: client.list_webhooks()[0].raw["last_success_at"])
        client.delete_webhook(hook)
    finally:
        receiver.send_signal(signal.SIGTERM)
        printed, _ = receiver.communicate(timeout=30)

    assert refused is not None and taken is not None
    assert (refused.status_code, taken.json()) == (401, {"status": "ok"})
    assert registered["events"] == ["job.completed", "job.failed"]
    assert f"Job {job.id} completed with status: completed" in printed
    assert f"Job {job.id} left report.md" in printed


def _signature(body: bytes) -> str:
    import hashlib
    import hmac

    return f"sha256={hmac.new(b'your_webhook_secret', body, hashlib.sha256).hexdigest()}"


def _deliver(url: str, body: bytes, signature: str) -> httpx.Response | None:
    headers = {"X-Knify-Signature": signature, "Content-Type": "application/json"}
    try:
        return httpx.post(url, content=body, headers=headers, timeout=30)
    except httpx.TransportError:
        return None


def test_an_agent_that_never_exits_is_ended_after_its_result(client: Client) -> None:
    spec = {"job_type": "cursor_task", "prompt": "SAY Done\nWRITE a: b\nHANG"}

    job = _ended(client, client.create_job(spec).job_id)

    assert (job.status, job.exit_code, job.error) == ("completed", None, None)
    assert job.files == ("a",)


def test_a_sandbox_whose_image_lacks_the_agent_says_so(client: Client) -> None:
    first = _ended(
        client, client.create_job({"job_type": "command_task", "command": "true"}).job_id
    )

    turn = client.continue_job(first.id, {"job_type": "cursor_task", "prompt": "Go"})
    job = _ended(client, turn.job_id)

    assert job.status == "failed"
    assert "the image has no program cursor-agent" in (job.error or "")
