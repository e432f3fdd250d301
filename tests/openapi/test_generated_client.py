"""A client that openapi-python-client makes from /openapi.json submits a job and reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.openapi.live import Live

#: Uses nothing but what was generated; run with the folder that it was generated into.
SCRIPT = """
import sys

sys.path.insert(0, sys.argv[1])
from knify_client import AuthenticatedClient
from knify_client.api.jobs import create_job, get_job, list_jobs
from knify_client.models import CommandTask, CommandTaskJobType, NewJob

client = AuthenticatedClient(base_url=sys.argv[2], token=sys.argv[3])
spec = CommandTask(job_type=CommandTaskJobType.COMMAND_TASK, command="echo hello", priority=1)
made = create_job.sync(client=client, body=NewJob(spec=spec, name="generated"))
job = get_job.sync(made.job_id, client=client)
wrong = get_job.sync_detailed("job_none", client=client)
listed = list_jobs.sync_detailed(client=client, limit=1)
print(job.name, job.status.value, wrong.parsed.code.value, listed.status_code.value)
"""


@pytest.mark.slow
def test_a_generated_client_works(live: Live, tmp_path: Path) -> None:
    described = tmp_path / "openapi.json"
    described.write_bytes(httpx.get(f"{live.url}/openapi.json", timeout=30).content)
    config = tmp_path / "config.yml"
    config.write_text("package_name_override: knify_client\nproject_name_override: generated\n")

    generated = subprocess.run(
        [
            sys.executable, "-m", "openapi_python_client", "generate", "--path", str(described),
            "--config", str(config), "--output-path", str(tmp_path / "generated"),
        ],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert generated.returncode == 0, generated.stdout + generated.stderr
    folder = str(tmp_path / "generated")
    used = subprocess.run(
        [sys.executable, "-c", SCRIPT, folder, live.url, live.key],
        text=True, capture_output=True, check=False,
    )  # fmt: skip

    assert used.stdout.split() == ["generated", "completed", "NOT_FOUND", "200"], (
        used.stdout + used.stderr + generated.stdout
    )
