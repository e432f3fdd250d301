"""Stages in one sandbox, against the real API and a worker that does as it is told."""

from __future__ import annotations

import pytest

from knify import errors
from knify.client import Client
from tests.client import scripted

STAGES = [
    {"name": name, "spec": {"job_type": "command_task", "command": name}}
    for name in ("setup", "build", "test")
]


def script(server: scripted.Server, *statuses: str) -> None:
    """Jobs job_1, job_2, … that end like this."""
    for n, status in enumerate(statuses, 1):
        where = f"/jobs/job_{n - 1}/continue" if n > 1 else "/jobs"
        server.on("POST", where, {"job_id": f"job_{n}", "status": "pending"})
        server.on_job(f"job_{n}", status)
        server.on("GET", f"/jobs/job_{n}/artifacts", {"report.json": {"n": n}})


def test_each_stage_continues_the_one_before(server: scripted.Server, client: Client) -> None:
    script(server, "completed", "completed", "completed")
    heard: list[str] = []

    result = client.pipeline(STAGES, on_stage=lambda stage: heard.append(stage.name))

    assert heard == ["setup", "build", "test"]
    assert result.as_dict() == {
        "pipeline_status": "completed",
        "stages": [
            {
                "stage": name,
                "job_id": f"job_{n}",
                "status": "completed",
                "artifacts": {"report.json": {"n": n}},
            }
            for n, name in enumerate(heard, 1)
        ],
    }
    [request] = server.seen("POST", "/jobs/job_1/continue")
    assert request.json() == {"spec": STAGES[1]["spec"], "name": "build"}


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_the_first_stage_that_does_not_complete_is_the_last(
    server: scripted.Server, client: Client, end: str
) -> None:
    script(server, "completed", end, "completed")

    result = client.pipeline(STAGES)

    assert result.status == "failed"
    assert [stage.status for stage in result.stages] == ["completed", end]
    assert not server.seen("POST", "/jobs/job_2/continue")


def test_a_pipeline_with_a_key_has_one_for_each_stage(
    server: scripted.Server, client: Client
) -> None:
    script(server, "completed", "completed", "completed")

    client.pipeline(STAGES, idempotency_key="nightly")

    keys = [r.headers["idempotency-key"] for r in server.requests if r.method == "POST"]
    assert keys == ["nightly/1", "nightly/2", "nightly/3"]


def test_a_stage_without_a_spec_is_refused_before_the_first_runs(
    server: scripted.Server, client: Client
) -> None:
    with pytest.raises(errors.BadRequest, match="stage 2 has no spec"):
        client.pipeline([STAGES[0], {"name": "build"}])

    assert not server.requests
