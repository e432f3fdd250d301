"""One model's answer on its way into an account.

What it took is in Redis before the piece that told it is sent on: when a job ends, all that it saw
is counted.
"""

from __future__ import annotations

import aiohttp

from knify.gateway.account import Booking
from knify.gateway.caller import Caller
from knify.gateway.prices import Prices
from knify.gateway.tokens import Meter, Tokens
from knify.store.usage import Usage


class Counted:
    """Hears the answer; it counts, however that ends."""

    def __init__(self, caller: Caller, meter: Meter, prices: Prices, named: str, most: int) -> None:
        """`named`: the model that was asked; `most`: tokens that may come out."""
        self.caller = caller
        self._meter = meter
        self._prices, self._named, self._most = prices, named, most
        self._booking = Booking(caller.account)
        self._is_whole = False
        self._is_dropped = False
        self._last = b""  # of an answer that is no stream: held back until all is counted

    async def reserve(self) -> None:
        """Before it is asked. See `Account.begin`."""
        estimate = self._meter.count(is_whole=False)
        price = self._prices.of(self._named)
        if price is not None and price.written > price.input:  # the dearer way to read it
            estimate = estimate.evolve(written=estimate.input)
        row = self._row(estimate)
        more = self._row(estimate.evolve(output=self._most)) - row
        await self.caller.account.begin(self._booking, row, self.caller.policy, more)

    def begin(self, answer: aiohttp.ClientResponse) -> None:
        """Its head is there."""
        self._meter.is_stream = answer.content_type == "text/event-stream"

    async def hear(self, piece: bytes) -> bytes:
        """See `passing.Heard`."""
        self._meter.feed(piece)
        if self._meter.seen.is_final and self._meter.seen.is_told:
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
        """No more of it is heard; said twice, it counts once."""
        if not self._is_dropped:
            await self._book()

    async def drop(self) -> None:
        """It cost nothing: it was not sent, or refused."""
        self._is_dropped = True
        self._booking.set(Usage())
        await self.caller.account.save()

    async def _book(self) -> None:
        found = self._row(self._meter.count(is_whole=self._is_whole))
        self._booking.set(found)
        if not self.caller.account.is_saved:
            await self.caller.account.save()

    def _row(self, tokens: Tokens) -> Usage:
        price = self._prices.of(self._meter.seen.model) or self._prices.of(self._named)
        cost = (0, 1) if price is None else (price.nano_usd(tokens), 0)
        return Usage(1, *tokens.values, *cost)
