"""A turn and its node's gateway, which is scripted: doors, budgets, and what was used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from knify import errors
from knify.agents import base, conversation
from knify.gateway import client
from knify.lifecycle import SandboxState, State
from knify.services import jobs
from knify.store.notices import Notice
from knify.store.usage import Usage
from tests.runner.rig import OUT, Killed, Rig, Worker, eventually

IDS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "Done"}


class Gateway:
    """Opens and closes what it is asked to, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.open: set[str] = set()

    def opened(self, _: object, *, execution: str, **__: Any) -> client.Opened:
        self.open.add(execution)
        return client.Opened()

    def closed(self, _: object, execution: str, sandbox: str, seconds: float = 0) -> bool:
        if self.is_away:
            raise errors.GatewayAway
        self.open.discard(execution)
        return True


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    scripted = Gateway()
    with pytest.MonkeyPatch.context() as own:  # a test may undo its own
        own.setattr(client.Client, "open", lambda *a, **k: scripted.opened(*a, **k))
        own.setattr(client.Client, "close", lambda *a, **k: scripted.closed(*a, **k))
        ids = iter(IDS)
        own.setattr(conversation, "fresh", lambda: next(ids))
        yield scripted


def claude(rig: Rig, session: str, **script: Any) -> None:
    """What Claude prints in a new conversation of this id."""
    argv = (
        *("claude", "-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config"),
        *("--settings", f"{base.TURN}/settings.json"),
        *("--permission-mode", "bypassPermissions", "--session-id", session),
    )
    init = {"type": "system", "subtype": "init", "session_id": session}
    said = b"".join(json.dumps(line).encode() + b"\n" for line in (init, RESULT))
    rig.script(*argv, **({"steps": [(0, OUT, said)]} | script))


def submit(rig: Rig, **spec: Any) -> str:
    request = {"job_type": "claude_task", "prompt": "Go"} | spec
    return jobs.submit(rig.core, "default", jobs.Submission(request)).execution.id


def spend(rig: Rig, job: str, tokens: int = 12) -> None:
    """As the gateway counts it."""
    used = Usage(input=tokens, calls=1, nano_usd=5 * 10**9)
    assert rig.core.store.usages.add(job, "g", 1, used)


def shown(rig: Rig, job: str) -> dict[str, Any]:
    """The last event of its output."""
    entries = list(rig.core.store.streams.output(job))
    return dict(entries[-1].events[-1])


def test_a_used_up_budget_ends_the_run_whoever_missed_the_message(
    rig: Rig, gateway: Gateway
) -> None:
    claude(rig, IDS[0], steps=[], hangs=True)
    job, worker = submit(rig, max_tokens=10), Worker(rig)
    worker.advance(job)
    spend(rig, job)
    notice = Notice("m", "budget_exceeded", "warning", "12 tokens of 10 used")
    assert rig.core.store.notices.tell(job, [notice])

    _, _, over = worker.leases.renew()
    assert over == [job]
    worker.watcher.overspent(job, rig.core.store.notices.over(job) or "")

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, "budget_exceeded: 12 tokens of 10 used")
    assert x.usage is not None and x.usage["total_tokens"] == 12
    assert rig.stages(job).count("budget_exceeded") == 1


@pytest.mark.parametrize("where", ["launch", "complete"])
def test_a_job_that_fails_on_its_way_shows_what_it_used(
    rig: Rig, gateway: Gateway, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude(rig, IDS[0])
    job, worker = submit(rig), Worker(rig)

    def broken(turn: Any, *_: Any) -> None:
        gateway.opened(None, execution=job)
        turn.is_shut = False
        spend(rig, job)
        raise errors.BadRequest("a bug")

    steps = worker.runner._steps
    if where == "launch":
        monkeypatch.setattr(steps, "_hand_over", broken)
    else:
        monkeypatch.setattr(steps.completing, "_artifacts", broken)
    worker.advance(job)

    x = rig.ended(job)
    assert (x.state, x.error) == (State.FAILED, "a bug")
    assert x.usage is not None and x.usage["total_tokens"] == 12
    last = shown(rig, job)
    assert (last["usage"]["total_tokens"], last["cost_usd"]) == (12, 5.0)
    assert gateway.open == set()


def test_what_was_counted_behind_a_door_that_did_not_close_is_in_the_job(
    rig: Rig, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    claude(rig, IDS[0])
    job, worker = submit(rig), Worker(rig)
    settle = worker.runner._steps.begin_completing

    def settled(*arguments: Any) -> None:
        gateway.is_away = True
        settle(*arguments)
        spend(rig, job)  # it had been frozen with a call under way

    monkeypatch.setattr(worker.runner._steps, "begin_completing", settled)
    worker.advance(job)

    x = rig.ended(job)
    assert x.state is State.COMPLETED
    assert x.usage is not None and x.usage["total_tokens"] == 12


def test_a_job_whose_node_is_lost_shows_what_it_used(rig: Rig, gateway: Gateway) -> None:
    claude(rig, IDS[0], steps=[], hangs=True)
    job, worker = submit(rig), Worker(rig)
    worker.advance(job)
    eventually(lambda: rig.job(job).state is State.RUNNING)
    spend(rig, job)
    worker.vanish()
    used = rig.core.store.usages.of(job).shown()
    rig.core.store.client.hset(f"knify:x:{job}", "lease_until", 0)

    entry = jobs.final_entry(State.FAILED, 0, error="lost", usage=used)
    verdict, _ = rig.core.store.executions.lose(job, "n", 0, "lost", entry, used)

    assert verdict == "lost"
    assert rig.job(job).usage == used


@pytest.mark.parametrize("is_away", [False, True])
def test_a_door_that_may_be_open_never_outlives_its_turn(
    rig: Rig, gateway: Gateway, is_away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(rig.core.settings, "hot_seconds", 60.0)
    rig.script("work")
    job, worker = rig.submit("work", network_mode="full"), Worker(rig)
    gateway.is_away = is_away

    worker.advance(job)

    assert rig.ended(job).state is State.COMPLETED
    sandbox = rig.core.store.sandboxes.find(rig.job(job).sandbox_id or "")
    assert sandbox is not None and sandbox.state is SandboxState.PAUSED
    (box,) = rig.host.containers.values()
    assert bool(sandbox.hot_until) is not is_away  # stopped, its next start has another network
    assert box.frozen is not is_away


def test_who_starts_a_new_conversation_again_does_not_look_for_it(
    rig: Rig, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session in IDS:
        claude(rig, session)
    job, victim = submit(rig), Worker(rig)

    def die(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(victim.runner._steps, "_start", die)
    victim.advance(job)
    assert rig.job(job).session_id == IDS[0]
    victim.vanish()
    Worker(rig).advance(job)

    x = rig.ended(job)
    assert (x.state, x.session_id, rig.starts(job)) == (State.COMPLETED, IDS[1], 1)
    told = [event for entry in rig.core.store.streams.output(job) for event in entry.events]
    assert not [event for event in told if event.get("code") == "AGENT_SESSION_NOT_FOUND"]
