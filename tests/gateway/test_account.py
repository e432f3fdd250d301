"""One execution's account: calls are booked before they are sent, and held against its budget."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import redis

from knify.gateway import account as accounts
from knify.gateway.account import Account, Booking
from knify.gateway.policy import Policy
from knify.store import open as store_open
from knify.store.usage import Usage
from tests.store.test_executions import claimed, finished, submitted

INTO = Usage(calls=1, input=100)
TOOK = Usage(calls=1, input=90, output=30)


@pytest.fixture
def job(store: store_open.Store) -> str:
    return submitted(store).id


async def settled(rounds: int = 20) -> None:
    """All that can go on has done so."""
    for _ in range(rounds):
        await asyncio.sleep(0.005)


def test_calls_side_by_side_fit_into_the_budget_together(store: store_open.Store, job: str) -> None:
    policy = Policy(max_tokens=350)
    sent: list[Booking] = []

    async def call(account: Account) -> None:
        booking = Booking(account)
        await account.begin(booking, INTO, policy)
        sent.append(booking)

    async def run() -> int:
        account = Account(store.usages, job, "life")
        calls = [asyncio.create_task(call(account)) for _ in range(10)]
        await settled()
        began = len(sent)
        for booking in list(sent):
            booking.set(TOOK)
            await account.save()
        await asyncio.gather(*calls, return_exceptions=True)
        over = [isinstance(task.exception(), accounts.Over) for task in calls]
        assert over.count(True) == 10 - began
        return began

    assert asyncio.run(run()) == 3
    assert store.usages.of(job) == TOOK + TOOK + TOOK  # beyond it by what came out alone


def test_one_that_does_not_fit_beside_others_waits_and_goes_alone(
    store: store_open.Store, job: str
) -> None:
    policy = Policy(max_tokens=150)

    async def run() -> None:
        account = Account(store.usages, job, "life")
        first, second = Booking(account), Booking(account)
        await account.begin(first, INTO, policy)
        waits = asyncio.create_task(account.begin(second, INTO, policy))
        await settled(4)
        assert not waits.done()
        first.set(TOOK)
        await asyncio.wait_for(waits, 5)

    asyncio.run(run())

    assert store.usages.of(job) == TOOK + INTO


def test_what_may_come_out_of_calls_side_by_side_fits_in_too_and_is_not_booked(
    store: store_open.Store, job: str
) -> None:
    policy, most = Policy(max_tokens=2_000), Usage(output=64_000)

    async def run() -> None:
        account = Account(store.usages, job, "life")
        first, second = Booking(account), Booking(account)
        await account.begin(first, INTO, policy, most)
        waits = asyncio.create_task(account.begin(second, INTO, policy, most))
        await settled(4)
        assert not waits.done()
        assert store.usages.of(job) == INTO
        first.set(TOOK)
        await asyncio.wait_for(waits, 5)
        second.set(Usage(calls=1, input=90, output=64_000))
        await account.save()
        with pytest.raises(accounts.Over):
            await account.begin(Booking(account), INTO, policy, most)

    asyncio.run(run())


def test_small_calls_go_side_by_side_within_a_large_budget(
    store: store_open.Store, job: str
) -> None:
    async def run() -> None:
        account = Account(store.usages, job, "life")
        for _ in range(3):
            call, most = Booking(account), Usage(output=1_000)
            await asyncio.wait_for(account.begin(call, INTO, Policy(max_tokens=3_300), most), 5)

    asyncio.run(run())

    assert store.usages.of(job) == INTO + INTO + INTO


def test_who_is_killed_in_mid_call_leaves_its_estimate_to_the_next(
    store: store_open.Store, job: str
) -> None:
    policy = Policy(max_tokens=100)

    async def begin(life: str) -> None:
        account = Account(store.usages, job, life)
        await account.begin(Booking(account), INTO, policy)

    asyncio.run(begin("one that is killed"))

    with pytest.raises(accounts.Over, match="100 tokens of 100 used"):
        asyncio.run(begin("the next"))


def test_an_estimate_is_no_reason_to_end_a_job_that_is_under_way(
    store: store_open.Store, job: str
) -> None:
    async def run() -> str | None:
        account = Account(store.usages, job, "life")
        await account.begin(Booking(account), Usage(calls=1, input=5_000), Policy(max_tokens=99))
        return account.over(Policy(max_tokens=99))

    assert asyncio.run(run()) is None


def test_with_a_budget_nothing_is_sent_that_redis_does_not_know(
    store: store_open.Store, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(policy: Policy) -> None:
        account = Account(store.usages, job, "life")
        await account.save(ask=True)
        with monkeypatch.context() as patch:
            patch.setattr(type(store.usages), "add", away)
            call = Booking(account)
            try:
                await account.begin(call, INTO, policy)
            finally:
                call.set(Usage())
        await account.save()

    def away(*_: Any) -> None:
        raise redis.ConnectionError("away")

    with pytest.raises(accounts.Unknown):
        asyncio.run(run(Policy(max_tokens=1_000)))
    asyncio.run(run(Policy()))

    assert store.usages.of(job) == Usage()


def test_what_is_told_after_the_end_is_booked_or_stands_in_the_log(
    store: store_open.Store, caplog: pytest.LogCaptureFixture
) -> None:
    x = submitted(store)

    async def run() -> None:
        account = Account(store.usages, x.id, "life")
        call = Booking(account)
        await account.begin(call, INTO, Policy())
        finished(store, claimed(store, x))
        call.set(TOOK)
        await account.save()
        assert store.executions.get(x.id, tenant="default").usage == TOOK.shown() | {
            "cost_usd": 0.0
        }
        with pytest.raises(accounts.Ended):
            await account.begin(Booking(account), INTO, Policy())
        store.client.delete(f"knify:x:{x.id}")
        call.set(TOOK + TOOK)
        await account.save()
        assert account.is_saved

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())

    assert "was not told of Usage(calls=1, input=90, cached=0, written=0, output=30" in caplog.text
