"""The same job with other parts: objects in S3, an image without a shell, no keys."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from pathlib import Path

import boto3
import pytest

from knify.client import ApiError, Client
from tests.parts import s3
from tests.parts import stack as stack_part
from tests.sandbox import engine
from tests.stack import parts

EXAMPLE = Path(__file__).parents[2] / "examples" / "inspect-package"
pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]


def test_workspaces_and_artifacts_live_in_s3(tmp_path: Path) -> None:
    with (
        s3.running(tmp_path) as server,
        stack_part.running(
            KNIFY_OBJECT_STORE=f"s3://{server.bucket}/some/prefix",
            KNIFY_S3_ENDPOINT_URL=server.endpoint_url,
            **server.environ(),
        ) as stack,
        stack.client() as client,
    ):
        workspace = client.upload_workspace(EXAMPLE, "example")
        spec = {
            "job_type": "command_task",
            "command": "head -c 9000000 /dev/urandom > big; sha256sum big | cut -c1-64",
            "workspace_path": workspace["path"],
        }
        job = client.wait(client.create_job(spec).job_id, timeout=60)

        got = client.download(job.id, "big", tmp_path / "out")

        assert job.files == ("big",)
        assert parts.lines(client, job.id) == [hashlib.sha256(got.file.read_bytes()).hexdigest()]
        bucket = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )
        rows = bucket.list_objects_v2(Bucket=server.bucket)["Contents"]
        assert {row["Key"].split("/")[2] for row in rows} == {"executions", "workspaces"}
        assert not (stack.home / "objects").exists()


def test_an_image_without_a_shell_runs_its_own_command_and_ours(client: Client) -> None:
    engine.make_images()

    spec = {"job_type": "command_task", "image": engine.BARE, "command": "echo in; ls /workspace"}
    job = client.wait(client.create_job(spec).job_id, timeout=60)

    assert (job.status, parts.lines(client, job.id)) == ("completed", ["in"])


def test_an_image_that_is_not_there_is_refused_at_once(client: Client) -> None:
    with pytest.raises(ApiError) as refused:
        parts.submit(client, "true", image="localhost/no/such:image")

    assert (refused.value.status, refused.value.code) == (400, "IMAGE_MISSING")


def test_without_keys_the_curl_lines_work_as_printed() -> None:
    with stack_part.running("--no-auth") as stack:
        body = json.dumps({"spec": {"job_type": "command_task", "command": "echo hello"}}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{stack.url}/jobs", data=body, headers=headers)

        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["status"] == "pending"
