"""Names whose servers never answer cost the sandbox that asks for them, and nobody else."""

from __future__ import annotations

import asyncio
import threading

import pytest

from knify import egress, errors
from knify.gateway import dial
from knify.gateway.policy import Policy


def test_a_name_that_is_given_up_keeps_its_place_until_its_thread_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress, "RESOLVE_SECONDS", 0.2)
    answer = threading.Event()
    asked = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        answer.wait(30)
        return ["192.0.2.1"]  # no public address: nothing is connected to

    async def ask(dialer: dial.Dialer, host: str, names: asyncio.Semaphore) -> str:
        try:
            await dialer.open(egress.parse(f"https://{host}/"), Policy("full"), names)
        except errors.KnifyError as failed:
            return type(failed).__name__
        return ""

    async def scenario() -> list[str]:
        dialer, mine = dial.Dialer({}, lookup), asyncio.Semaphore(2)
        late = await asyncio.gather(*(ask(dialer, f"{n}.com", mine) for n in range(2)))
        third = asyncio.create_task(ask(dialer, "third.com", mine))
        neighbour = await ask(dialer, "neighbour.com", asyncio.Semaphore(2))
        assert asked.count("third.com") == 0
        answer.set()
        return [*late, neighbour, await third]

    assert asyncio.run(scenario()) == ["NameUnknown"] * 3 + ["EgressRefused"]
