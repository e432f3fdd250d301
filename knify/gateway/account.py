"""One execution's account with the models' vendors: counted in Redis, held against its budget.

A call is booked before it is sent, with an estimate of what goes in; what it took takes its place
when the answer has told that. So whoever is killed in its midst leaves the estimate counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Final

import redis

from knify import counters
from knify.gateway.policy import Policy
from knify.gateway.prices import NANO
from knify.store.usage import Usage, Usages

log = logging.getLogger(__name__)

CALLS: Final = 32  # of one execution at one time: more wait
NOTHING: Final = Usage()


class Ended(Exception):
    """The execution has ended: it asks no model any more."""


class Unknown(Exception):
    """Redis does not say, or does not hear, what was used."""


class Over(Exception):
    """Its budget is used up; in words for people."""


class Account:
    """Lives in the event loop. What Redis did not take yet is kept and sent again, once."""

    def __init__(self, store: Usages, execution: str, gateway: str) -> None:
        """`gateway` names this process's life; each account numbers its additions anew."""
        self.places = asyncio.Semaphore(CALLS)
        self._store, self._execution = store, execution
        self._gateway = f"{gateway}.{secrets.token_hex(4)}"
        self.has_ended = False
        self._totals: Usage | None = None  # as Redis has them
        self._waiting = Usage()  # not sent yet
        self._sent: Usage | None = None  # perhaps taken: sent again under the same number
        self._n = 0
        self._lock = asyncio.Lock()
        #: Those that are estimates still, and what is kept for each besides.
        self._open: dict[Booking, Usage] = {}
        self._closed = asyncio.Event()  # one of them is none any more; then there is a new event

    async def begin(
        self, call: Booking, estimate: Usage, policy: Policy, more: Usage = NOTHING
    ) -> None:
        """Book a call that is about to be sent; in Redis, when there is a budget.

        Those side by side fit into the budget together, with `more` than the estimate that each
        may come to: one that does not fit waits for others, and goes alone if something is left
        then. What is kept for it so is not booked: who is killed pays what he asked.
        Ended, Unknown, Over.
        """
        if not self.is_known:
            await self.save(ask=True)
        while not self._may_begin(estimate + more, policy):
            await self._closed.wait()
        self._open[call] = more
        call.set(estimate, is_estimate=True)
        await self.save()
        if self.has_ended:
            raise Ended
        if policy.has_budget and not self.is_saved:
            raise Unknown

    def _may_begin(self, estimate: Usage, policy: Policy) -> bool:
        """False: it has to wait."""
        if self.has_ended:
            raise Ended
        if policy.has_budget and not self.is_known:
            raise Unknown
        kept = sum(self._open.values(), NOTHING)
        if over(policy, self._now() + kept + estimate) is None:
            return True
        if self._open:
            return False
        problem = over(policy, self._now(), least=0)
        if problem is not None:
            raise Over(problem)
        return True

    def book(self, call: Booking, more: Usage, *, is_estimate: bool) -> None:
        """Note it, to be sent with the next `save`."""
        self._waiting += more
        if not is_estimate and call in self._open:
            del self._open[call]
            self._closed.set()
            self._closed = asyncio.Event()

    async def save(self, *, ask: bool = False) -> None:
        """Into Redis. While that is away, it is tried again with what comes next.

        `ask`: also with nothing to save, to hear how things stand.
        """
        async with self._lock:
            while ask or not self.is_saved:
                ask = False
                if self._sent is None:
                    self._sent, self._waiting = self._waiting, Usage()
                    self._n += 1
                try:
                    found = await asyncio.to_thread(
                        self._store.add, self._execution, self._gateway, self._n, self._sent
                    )
                except redis.RedisError as away:
                    log.warning("%s: its usage waits for Redis: %s", self._execution, away)
                    return
                sent, self._sent = self._sent, None
                if found is None and sent != Usage():
                    log.warning("%s has ended, and was not told of %s", self._execution, sent)
                self.has_ended = found is None or found.has_ended
                self._totals = found.used if found else self._totals or Usage()

    @property
    def is_saved(self) -> bool:
        """Whether Redis has all of it."""
        return self._sent is None and self._waiting == Usage()

    @property
    def is_known(self) -> bool:
        """Whether Redis has told what was used before."""
        return self._totals is not None

    def over(self, policy: Policy) -> str | None:
        """Why its budget is used up, in words for people; None while there is some left.

        What is no more than an estimate for a call under way does not count here.
        """
        told = self._now()
        for call in self._open:
            told -= call.booked
        return over(policy, told)

    def _now(self) -> Usage:
        return (self._totals or Usage()) + (self._sent or Usage()) + self._waiting


class Booking:
    """One call in its account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.booked = Usage()
        self._settled = Usage()

    def set(self, used: Usage, *, is_estimate: bool = False) -> None:
        """This is what it takes, instead of what was booked before."""
        more, self.booked = used - self.booked, used
        if not is_estimate:
            _count(used - self._settled)
            self._settled = used
        self._account.book(self, more, is_estimate=is_estimate)


def _count(more: Usage) -> None:
    counters.add("knify_model_calls", more.calls)
    for kind in ("input", "cached", "written", "output"):
        counters.add("knify_model_tokens", getattr(more, kind), kind)
    counters.add("knify_model_cost_dollars", more.nano_usd / NANO)


def over(policy: Policy, used: Usage, *, least: int = 1) -> str | None:
    """Of any totals: over by `least` at least. What is exactly the budget is not over it."""
    if policy.max_tokens is not None and used.tokens >= policy.max_tokens + least:
        return f"{used.tokens:,} tokens of {policy.max_tokens:,} used"
    limit = policy.max_cost_usd
    if limit is not None and used.nano_usd >= limit * NANO + least:
        return f"{used.nano_usd / NANO:.4f} dollars of {limit:g} used"
    return None
