"""A browser test that an agent follows, here a scripted one: all but the report is the agent's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import Client
from tests.parts import stack as stack_part
from tests.parts import standin
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]

_TOLD = '{"status": "passed", "seconds": 1}'
SEEN = f"mkdir -p e2e-results/a; echo '{_TOLD}' > e2e-results/a/session.json"


@pytest.fixture(scope="module")
def stack() -> Iterator[stack_part.Stack]:
    """An installation whose image for browser tests has the scripted agent."""
    with standin.image() as image:
        settings = {"CURSOR_API_KEY": "k-e-y", "KNIFY_E2E_IMAGE": image}
        with stack_part.running(**settings) as running:
            yield running


def test_an_agent_follows_the_prompt_and_the_report_comes_behind_it(client: Client) -> None:
    spec = {"job_type": "fh_e2e_tools", "agent": "cursor"}
    first = client.create_job(spec | {"prompt": f"Use @create-user.md\nRUN {SEEN}\nSAY all done"})
    job = client.wait(first.job_id, timeout=100)

    turn = client.continue_job(job.id, spec | {"prompt": "RECALL"}).job_id
    later = client.wait(turn, timeout=100)

    assert (job.status, job.error) == ("completed", None)
    assert client.output(job.id)[-1]["result"] == "all done"
    result = parts.content(client, job.id, "result.json")
    assert [(one["name"], one["status"]) for one in result["sessions"]] == [("a", "passed")]
    assert (later.status, later.raw["cursor_session_id"]) == (
        "completed",
        job.raw["cursor_session_id"],
    )
    said = [e["message"] for e in client.output(turn) if e["type"] == "agent_message"]
    assert "The runbook create-user.md is the file `runbooks/create-user.md`." in said[0]


def test_an_agent_that_fails_has_its_own_reason(client: Client) -> None:
    spec = {"job_type": "fh_e2e_tools", "agent": "cursor", "prompt": "FAIL out of patience"}

    job = client.wait(client.create_job(spec).job_id, timeout=100)

    assert job.status == "failed"
    assert "out of patience" in (job.error or "")
