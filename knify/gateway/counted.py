"""One model's answer on its way into an account.

What it took is in Redis before the piece that told it is sent on: when a job ends, all that it saw
is counted.
"""

from __future__ import annotations

import aiohttp

from knify.gateway.caller import Caller
from knify.gateway.prices import Prices
from knify.gateway.tokens import Meter, Tokens


class Counted:
    """Hears the answer; it counts, however that ends."""

    def __init__(self, caller: Caller, meter: Meter, prices: Prices, named: str) -> None:
        """`named`: the model that was asked."""
        self.caller = caller
        self._meter = meter
        self._prices, self._named = prices, named
        self._booked = Tokens()
        self._calls = 1  # of which the first booking tells
        self._is_whole = False
        self._last = b""  # of an answer that is no stream: held back until all is counted

    def begin(self, answer: aiohttp.ClientResponse) -> None:
        """Its head is there."""
        self._meter.is_stream = answer.content_type == "text/event-stream"

    async def hear(self, piece: bytes) -> bytes:
        """See `passing.Heard`."""
        self._meter.feed(piece)
        if self._is_due:
            await self._book()
        if not self._meter.is_stream:
            self._last, piece = piece, self._last
        return piece

    async def end(self) -> bytes:
        """See `passing.Heard`."""
        self._meter.end()
        self._is_whole = True
        await self.close()
        return self._last

    async def close(self) -> None:
        """Whatever is not booked yet."""
        if self._calls or (self._meter.count(is_whole=self._is_whole) - self._booked).total:
            await self._book()

    @property
    def _is_due(self) -> bool:
        """Whether what is known now is all, and not booked."""
        seen = self._meter.seen
        return seen.is_final and seen.is_told and bool((seen.tokens - self._booked).total)

    async def _book(self) -> None:
        found = self._meter.count(is_whole=self._is_whole)
        price = self._prices.of(self._meter.seen.model) or self._prices.of(self._named)
        self.caller.account.add(found - self._booked, price, calls=self._calls)
        self._booked, self._calls = found, 0
        await self.caller.account.save()
