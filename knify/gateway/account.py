"""One execution's account with the models' vendors: counted in Redis, held against its budget."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from typing import Final

import redis

from knify.gateway.policy import Policy
from knify.gateway.prices import NANO, Price
from knify.gateway.tokens import Tokens
from knify.store.usage import Usage, Usages

log = logging.getLogger(__name__)

CALLS: Final = 32  # of one execution at one time: more wait


class Account:
    """Lives in the event loop. What Redis did not take yet is kept and sent again, once."""

    def __init__(self, store: Usages, execution: str, gateway: str) -> None:
        """`gateway` names this process's life; each account numbers its additions anew."""
        self.places = asyncio.Semaphore(CALLS)
        self._store, self._execution = store, execution
        self._gateway = f"{gateway}.{secrets.token_hex(4)}"
        self.has_ended = False  # so nothing is counted any more
        self._totals: Usage | None = None  # as Redis has them
        self._waiting: Counter[str] = Counter()  # not sent yet
        self._sent: Counter[str] = Counter()  # perhaps taken: sent again under the same number
        self._n = 0
        self._lock = asyncio.Lock()

    def add(self, tokens: Tokens, price: Price | None, *, calls: int = 1) -> None:
        """Note it, to be sent with the next `save`."""
        names = ("input", "cached", "written", "output")
        self._waiting.update(dict(zip(names, tokens.values, strict=True)) | {"calls": calls})
        if price is None:
            self._waiting["unpriced"] += calls
        else:
            self._waiting["nano_usd"] += price.nano_usd(tokens)

    async def save(self, *, ask: bool = False) -> None:
        """Into Redis. While that is away, it is tried again with what comes next.

        `ask`: also with nothing to save, to hear how things stand.
        """
        async with self._lock:
            while ask or self._sent or self._waiting:
                ask = False
                if not self._sent:
                    self._sent, self._waiting = self._waiting, Counter()
                    self._n += 1
                try:
                    found = await asyncio.to_thread(
                        self._store.add, self._execution, self._gateway, self._n, self._sent
                    )
                except redis.RedisError as away:
                    log.warning("%s: its usage waits for Redis: %s", self._execution, away)
                    return
                self.has_ended = found is None
                self._totals = found or self._totals or Usage()
                self._sent = Counter()

    @property
    def is_saved(self) -> bool:
        """Whether Redis has all of it."""
        return not (self._sent or self._waiting)

    def over(self, policy: Policy) -> str | None:
        """Why its budget is used up, in words for people; None while there is some left."""
        return over(policy, self._now())

    @property
    def is_known(self) -> bool:
        """Whether Redis has told what was used before."""
        return self._totals is not None

    def refuses(self, policy: Policy) -> str | None:
        """The same before a call: with nothing left, none begins."""
        return over(policy, self._now(), least=0)

    def _now(self) -> Usage:
        known, more = self._totals or Usage(), self._sent + self._waiting
        fields = {name: getattr(known, name) + more[name] for name in Usage.__slots__}
        return Usage(**fields)


def over(policy: Policy, used: Usage, *, least: int = 1) -> str | None:
    """Of any totals: over by `least` at least. What is exactly the budget is not over it."""
    if policy.max_tokens is not None and used.tokens >= policy.max_tokens + least:
        return f"{used.tokens:,} tokens of {policy.max_tokens:,} used"
    limit = policy.max_cost_usd
    if limit is not None and used.nano_usd >= limit * NANO + least:
        return f"{used.nano_usd / NANO:.4f} dollars of {limit:g} used"
    return None
