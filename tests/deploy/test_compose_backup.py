"""docker-compose.yml makes a backup of what runs in it and puts it back, as its README says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from knify.client import ApiError, Client, Job
from tests.deploy import composed as composed_module
from tests.deploy.composed import DOCKER_COMPOSE, PODMAN_COMPOSE

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(2_400)]

NOTHING_MORE = "services: {api: {environment: {KNIFY_LOG_LEVEL: info}}}\n"
STOPPED = ("proxy", "api", "worker", "beat", "gateway")


def ran(client: Client, text: str) -> Job:
    made = client.create_job({"job_type": "command_task", "command": f"echo {text}"})
    return client.wait(made.job_id, timeout=120)


@pytest.mark.parametrize("tool", [PODMAN_COMPOSE, DOCKER_COMPOSE], ids=["podman", "docker"])
def test_a_backup_is_made_beside_all_that_runs_and_put_back(
    tool: tuple[str, ...], images: tuple[str, str], conf: Path
) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip("needs docker-compose (Debian's package)")
    with composed_module.running(tool, images, conf, NOTHING_MORE) as composed:
        with composed.client() as client:
            kept, key = ran(client, "kept"), composed.key()
            composed.call("--profile", "backup", "run", "--rm", "backup")
            later = ran(client, "later")
        (file,) = composed.backups.iterdir()
        composed.call("stop", "-t", "10", *STOPPED)
        words = (f"/srv/backups/{file.name}", "--replace")
        composed.call("--profile", "restore", "run", "--rm", "restore", *words)
        composed.call("up", "-d")

        with composed.client() as client:
            assert composed.key() == key
            assert [e["line"] for e in client.output(kept.id, raw=True)] == ["kept"]
            with pytest.raises(ApiError):
                client.job(later.id)
            assert ran(client, "again").status == "completed"
        assert file.stat().st_mode & 0o777 == 0o600
