"""One model's answer on its way into an account.

What it took is in Redis before the piece that told it is sent on: when a job ends, all that it saw
is counted.
"""

from __future__ import annotations

import time
from typing import Final

import aiohttp

from knify.gateway import questions
from knify.gateway.account import Booking
from knify.gateway.caller import Caller
from knify.gateway.line import Gone
from knify.gateway.prices import Prices
from knify.gateway.tokens import Meter, Tokens
from knify.store.usage import Usage

#: How long and how much an answer is read on when the sandbox has gone, for its usage.
LEFT_SECONDS: Final = 30.0
LEFT_BYTES: Final = 32 * 1024**2
_A_SECOND: Final = 300  # tokens that a fast model gives


class Counted:
    """Hears the answer; it counts, however that ends."""

    def __init__(
        self, caller: Caller, meter: Meter, prices: Prices, asked: questions.Question
    ) -> None:
        """`meter` reads what is answered to `asked`."""
        self.caller = caller
        self._meter = meter
        self._prices, self._asked = prices, asked
        self._booking = Booking(caller.account)
        self._is_whole = False
        self._is_dropped = False
        self._begun = time.monotonic()
        self._left: int | None = None  # bytes to be read yet, when the sandbox has gone
        self._last = b""  # of an answer that is no stream: held back until all is counted

    async def reserve(self) -> None:
        """Before it is asked. See `Account.begin`."""
        estimate = self._meter.count(is_whole=False)
        price = self._prices.of(self._asked.model)
        if price is not None and price.written > price.input:  # the dearer way to read it
            estimate = estimate.evolve(written=estimate.input)
        row = self._row(estimate)
        more = self._row(estimate.evolve(output=self._asked.most)) - row
        await self.caller.account.begin(self._booking, row, self.caller.policy, more)
        self._begun = time.monotonic()

    def begin(self, answer: aiohttp.ClientResponse) -> None:
        """Its head is there."""
        self._meter.is_stream = answer.content_type == "text/event-stream"

    async def hear(self, piece: bytes) -> bytes:
        """See `passing.Heard`."""
        self._meter.feed(piece)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise Gone
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

    def leave(self) -> None:
        """The sandbox has gone: some of the answer is still heard."""
        self._left = LEFT_BYTES
        if not self._is_dropped:  # what was seen counts should this process end meanwhile
            seen = self._row(self._meter.count(is_whole=self._is_whole))
            self._booking.set(seen, is_estimate=True)

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
        tokens = self._meter.count(is_whole=self._is_whole)
        if self._left is not None and not self._meter.is_known(is_whole=self._is_whole):
            tokens = tokens.evolve(output=max(tokens.output, self._share()))
        found = self._row(tokens)
        self._booking.set(found)
        if not self.caller.account.is_saved:
            await self.caller.account.save()

    def _share(self) -> int:
        """Of what may come out: what may have done so, unseen, of an answer that was given up.

        One that does not stream the vendor may make to its end though nobody takes it.
        """
        if not self._asked.is_stream:
            return self._asked.most
        return min(self._asked.most, int((time.monotonic() - self._begun) * _A_SECOND))

    def _row(self, tokens: Tokens) -> Usage:
        price = self._prices.of(self._meter.seen.model) or self._prices.of(self._asked.model)
        cost = (0, 1) if price is None else (price.nano_usd(tokens), 0)
        return Usage(1, *tokens.values, *cost)
