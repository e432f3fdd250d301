"""Agents on the whole of Knify: their models behind the gateway, their keys nowhere else.

The real programs are those of the agents' image; without it (`knify images build agents`) the
stand-in for Codex stays, which asks its model like the real one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from knify import core as core_module
from knify import hints
from knify.agents import models as places
from knify.client import Client, Job
from knify.host import images
from tests.parts import agent_work, model_server, standin
from tests.parts import stack as stack_part
from tests.parts.model_server import Models
from tests.parts.stack import eventually
from tests.stack import canary
from tests.stack.parts import content

REAL = "localhost/knify/agents:latest"
KEYS = {
    provider.key: f"{canary.SECRET}-{name}-0123456789"
    for name, provider in places.PROVIDERS.items()
}
#: Of each kind of agent: the image that has it.
AGENTS = [
    pytest.param(("codex_task", "standin"), id="stand-in"),
    *(
        pytest.param((f"{name}_task", REAL), id=name, marks=pytest.mark.slow)
        for name in ("claude", "codex", "gemini")
    ),
]


@pytest.fixture(scope="module")
def models() -> Iterator[Models]:
    with model_server.running(keys=set(KEYS.values())) as running:
        yield running


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with standin.image() as name:
        yield name


@pytest.fixture(scope="module")
def own_stack(models: Models, image: str) -> Iterator[stack_part.Stack]:
    """It begins when the image is there: nodes tell now and then which they have."""
    upstreams = {
        "KNIFY_ANTHROPIC_BASE_URL": models.url,
        "KNIFY_GEMINI_BASE_URL": models.url,
        "KNIFY_OPENAI_BASE_URL": f"{models.url}/v1",
    }
    packing = {"KNIFY_PACK_SECONDS": "1", "KNIFY_SWEEP_SECONDS": "1"}
    with stack_part.running(**upstreams, **KEYS, **packing) as running:
        yield running


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest, image: str) -> dict[str, Any]:
    """What a spec says of it."""
    kind, where = request.param
    if where == REAL and not images.exists(REAL):
        pytest.skip("the agents' image is not here: knify images build agents")
    chosen = {"model": "gemini-2.5-pro"} if kind == "gemini_task" else {}
    return {"job_type": kind, "image": image if where == "standin" else where} | chosen


def ran(client: Client, prompt: str, agent: dict[str, Any], parent: str = "", **spec: Any) -> Job:
    """One job to its end."""
    wanted = agent | {"prompt": prompt} | spec
    if parent:
        wanted.pop("image", None)
        return client.wait(client.continue_job(parent, wanted).job_id, timeout=100)
    return client.wait(client.create_job(wanted).job_id, timeout=100)


def told(client: Client, job: Job) -> list[dict[str, Any]]:
    """Its output, but for what it prints besides."""
    return [e for e in client.output(job.id) if e["type"] not in ("progress", "warning")]


WORK = "SAY I begin\nWRITE src/a.txt: one\\ntwo\nRUN ls /sys/class/net; env\nSAY All done"


def test_an_agent_works_by_tools_and_its_next_job_goes_on_with_the_conversation(
    client: Client, own_stack: stack_part.Stack, agent: dict[str, Any], models: Models
) -> None:
    begun = len(models.asked)

    first = ran(client, WORK, agent)
    second = ran(client, "RECALL", agent, first.id)

    assert (first.status, first.error) == ("completed", None)
    events = told(client, first)
    kinds = [event["type"] for event in events if event["type"] != "file_created"]
    assert kinds == [
        *("agent_message", "tool_use", "tool_result", "tool_use", "tool_result"),
        *("agent_message", "completed"),
    ]
    assert [e["path"] for e in events if e["type"] == "file_created"] == ["src/a.txt"]
    ends = events[-1]
    assert (ends["status"], ends["result"]) == ("completed", "All done")
    assert content(client, first.id, "src/a.txt").rstrip("\n") == "one\ntwo"
    printed = [event.get("output", "") for event in events if event["type"] == "tool_result"][1]
    assert printed.split()[0] == "lo"
    assert first.raw["usage"]["model_calls"] == 3
    spent = [one.tokens for one in models.asked[begun:] if one.tokens]
    assert first.raw["usage"]["input_tokens"] == sum(tokens.into for tokens in spent[:3])
    assert second.status == "completed", second.error
    assert second.raw["cursor_session_id"] == first.raw["cursor_session_id"]
    assert "SAY I begin" in told(client, second)[-1]["result"]
    assert {one.key for one in models.asked[begun:]} <= set(KEYS.values())


def test_an_agent_whose_budget_is_used_up_is_ended(
    client: Client, own_stack: stack_part.Stack, agent: dict[str, Any]
) -> None:
    job = ran(client, "SAY a\nRUN true\nSAY b\nRUN true\nSAY c", agent, max_tokens=1)

    assert job.status == "failed"
    assert "budget_exceeded" in (job.error or "")
    assert job.raw["usage"]["total_tokens"] > 1
    assert job.raw["usage"]["model_calls"] == 1


def test_one_that_waits_for_its_model_is_cancelled_and_the_next_goes_on(
    client: Client, own_stack: stack_part.Stack, agent: dict[str, Any], models: Models
) -> None:
    begun = len(models.asked)
    prompt = "SAY I wait\nRUN true\nFAULT hang"
    job = client.create_job(agent | {"prompt": prompt}).job_id
    stack_part.eventually(lambda: len(models.asked) >= begun + 2, seconds=60)

    client.cancel(job)
    first = client.wait(job, timeout=60)
    second = ran(client, "RECALL", agent, job)

    assert first.status == "cancelled"
    assert second.status == "completed", second.error
    assert "SAY I wait" in told(client, second)[-1]["result"]


@pytest.mark.slow
def test_one_whose_model_never_answers_ends_with_its_time(
    client: Client, own_stack: stack_part.Stack, agent: dict[str, Any]
) -> None:
    job = ran(client, "FAULT hang", agent, timeout=8)

    assert (job.status, job.error) == ("failed", "timed out after 8 s")
    assert [e["code"] for e in told(client, job) if e["type"] == "error"] == ["AGENT_TIMEOUT"]


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["/quit\nSAY fine", "SAY fine\n" + "word " * 60_000 + "\nlast"])
def test_a_prompt_that_looks_like_a_command_or_is_300_kb_arrives_whole(
    client: Client,
    own_stack: stack_part.Stack,
    agent: dict[str, Any],
    models: Models,
    prompt: str,
) -> None:
    job = ran(client, prompt, agent)

    assert (job.status, job.error) == ("completed", None)
    assert told(client, job)[-1]["result"] == "fine"
    assert prompt.split()[-1] in repr(models.asked[-1].body)


def test_no_key_is_anywhere_but_at_the_gateway(
    client: Client, own_stack: stack_part.Stack, agent: dict[str, Any]
) -> None:
    """Looked for inside, and in all that is kept of the job."""
    # The pattern does not match itself.
    look = "env; grep -raoh 'sk-of-the-[o]perator' /proc/*/environ /proc/*/cmdline /home /run /tmp "
    look += "/workspace /etc 2>/dev/null | sort | uniq -c; echo looked"

    job = ran(client, f"RUN {look}\nSAY Done", agent)

    assert job.status == "completed", job.error
    kept = [client.output(job.id), client.output(job.id, raw=True), client.events(job.id)]
    texts = [repr(kept), repr(client.job(job.id).raw)]
    assert places.NO_KEY in texts[0]
    assert "looked" in texts[0]
    container = f"knify-{job.sandbox_id}"
    texts += [canary.asked(own_stack, word, container) for word in ("inspect", "logs")]
    assert container in texts[-2]
    assert "looked" in texts[-1]
    eventually(lambda: next(own_stack.home.glob(f"objects/**/{job.id}/record"), None))
    files = canary.files(own_stack)
    assert any("looked" in text for name, text in files.items() if job.id in name)  # it sees
    texts += [*files.values(), canary.dumped(own_stack, job.id)]
    texts += canary.environments(own_stack, "api", "worker", "beat", "redis", "podman")
    assert not canary.found(texts)


@pytest.mark.slow
def test_of_an_agent_whose_gateway_is_killed_and_frozen_all_is_counted_and_told_once(
    client: Client, own_stack: stack_part.Stack, image: str, models: Models
) -> None:
    job_id = client.create_job(agent_work.spec(image, "hurt")).job_id
    for n, hurt in ((1, "kill"), (3, "freeze"), (5, "kill")):
        stack_part.eventually(lambda n=n: agent_work.asked(models, "hurt") > n, seconds=60)
        victim = own_stack.pid("gateway")
        if hurt == "freeze":
            os.kill(victim, signal.SIGSTOP)
            time.sleep(1)  # whoever asks meanwhile waits
            os.kill(victim, signal.SIGCONT)
        else:
            own_stack.kill("gateway")
            stack_part.eventually(lambda v=victim: own_stack.pid("gateway") != v)

    job = client.wait(job_id, timeout=100)

    assert (job.status, job.error) == ("completed", None)
    x = core_module.connect(own_stack.settings, hints.RecordedHints()).store.executions.find(job_id)
    assert x is not None
    details = [event["detail"] for event in client.events(job_id)]
    assert not list(agent_work.wrong(x, models, "hurt", details, hurts=3))


@pytest.mark.slow
def test_a_gateway_that_is_killed_in_mid_call_leaves_the_call_counted(
    client: Client, own_stack: stack_part.Stack, image: str, models: Models
) -> None:
    prompt = "FAULT hang\nfor the killed gateway"
    spec = {"job_type": "codex_task", "image": image, "prompt": prompt}
    begun = len(models.asked)
    job_id = client.create_job(spec | {"env": {"STANDIN_RETRIES": "300"}}).job_id
    eventually(lambda: len(models.asked) > begun, seconds=60)

    own_stack.kill("gateway")
    eventually(lambda: len(models.asked) > begun + 1, seconds=60)
    client.cancel(job_id)
    used = client.wait(job_id, timeout=60).raw["usage"]

    estimate = agent_work.estimate(models.asked[begun])
    assert used["model_calls"] == 2
    assert estimate < used["input_tokens"] <= 2 * estimate


@pytest.mark.slow
def test_a_budget_ends_its_run_once_though_gateway_and_worker_are_killed(
    client: Client, own_stack: stack_part.Stack, image: str, models: Models
) -> None:
    job_id = client.create_job(agent_work.spec(image, "poor", max_tokens=1)).job_id
    stack_part.eventually(lambda: agent_work.asked(models, "poor"), seconds=60)
    for part in ("gateway", "worker"):
        own_stack.kill(part)

    job = client.wait(job_id, timeout=100)

    assert job.status == "failed" and "budget_exceeded" in (job.error or "")
    assert [event["stage"] for event in client.events(job_id)].count("budget_exceeded") <= 1
    assert job.raw["usage"]["total_tokens"] > 1
