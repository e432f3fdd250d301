"""Cursor on the whole of Knify, by its scripted stand-in: its vendor takes no other address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from knify.client import Client, Job
from tests.parts import stack as stack_part
from tests.parts import standin
from tests.stack import canary
from tests.stack.parts import content

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with standin.image() as name:
        yield name


@pytest.fixture(scope="module")
def own_stack(image: str) -> Iterator[stack_part.Stack]:
    with stack_part.running(CURSOR_API_KEY=f"{canary.SECRET}-cursor") as running:
        yield running


def ran(client: Client, prompt: str, image: str, parent: str = "", **spec: Any) -> Job:
    """One job to its end."""
    wanted = {"job_type": "cursor_task", "prompt": prompt} | spec
    if parent:
        return client.wait(client.continue_job(parent, wanted).job_id, timeout=100)
    return client.wait(client.create_job(wanted | {"image": image}).job_id, timeout=100)


def test_cursor_works_by_tools_and_its_key_is_nowhere_but_in_its_own_environment(
    client: Client, own_stack: stack_part.Stack, image: str
) -> None:
    """So its key has to be inside; docs/trust.md says so."""
    prompt = "SAY I begin\nWRITE src/a.txt: one\\ntwo\nRUN ls /sys/class/net\nSAY All done"

    first = ran(client, prompt, image)
    second = ran(client, "RECALL", image, first.id)

    assert (first.status, first.error) == ("completed", None)
    events = [e for e in client.output(first.id) if e["type"] != "progress"]
    assert [event["type"] for event in events] == [
        *("agent_message", "tool_use", "tool_result", "file_created", "tool_use", "tool_result"),
        *("agent_message", "completed"),
    ]
    assert [events[3]["path"], events[5]["output"].split()] == ["src/a.txt", ["lo"]]
    assert content(client, first.id, "src/a.txt") == "one\ntwo"
    assert second.raw["cursor_session_id"] == first.raw["cursor_session_id"]
    assert "SAY I begin" in client.output(second.id)[-1]["result"]
    texts = [
        canary.asked(own_stack, what, f"knify-{first.sandbox_id}") for what in ("inspect", "logs")
    ]
    texts += [*canary.files(own_stack).values(), canary.dumped(own_stack, first.id)]
    texts += canary.environments(own_stack, "api", "gateway", "beat", "redis", "podman")
    texts += [repr(client.output(first.id, raw=True)), repr(client.job(first.id).raw)]
    assert not canary.found(texts)


@pytest.mark.parametrize(
    ("prompt", "status", "code"),
    [
        ("SAY a\nNORESULT", "failed", "AGENT_NO_RESULT"),
        ("SAY a\nNORESULT 3", "failed", "AGENT_FAILED"),
        ("SAY a\nFAIL broken", "failed", "AGENT_FAILED"),
        ("SAY a\nCODE 3", "failed", "AGENT_FAILED"),
        ("SAY a\nHANG", "completed", None),
        ("GARBAGE\nBIG 10000000 big.txt\nSAY a", "completed", "AGENT_OUTPUT"),
    ],
)
def test_an_agent_that_misbehaves_gets_the_end_that_it_has_earned(
    client: Client,
    own_stack: stack_part.Stack,
    image: str,
    prompt: str,
    status: str,
    code: str | None,
) -> None:
    job = ran(client, prompt, image)

    events = client.output(job.id)
    assert (job.status, bool(job.error)) == (status, status == "failed")
    assert [e["code"] for e in events if "code" in e] == ([code] if code else [])
    assert [e["message"] for e in events if e["type"] == "agent_message"] == ["a"]
    if "BIG" in prompt:
        assert [file.size for file in client.artifacts(job.id)] == [10_000_000]


def test_a_conversation_that_cursor_does_not_know_is_told(
    client: Client, own_stack: stack_part.Stack, image: str
) -> None:
    job = ran(client, "SAY a", image, session_id="nobody-knows-it")

    codes = [event["code"] for event in client.output(job.id) if "code" in event]
    assert codes == ["AGENT_SESSION_NOT_FOUND"]
    assert job.raw["cursor_session_id"] != "nobody-knows-it"
