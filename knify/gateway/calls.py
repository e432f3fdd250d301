"""Calls of models: the operator's key is put in, the answer streams through and is counted.

Nothing is buffered but the request, whose model has to be known, and answers that are errors.
"""

from __future__ import annotations

import asyncio
import fnmatch
from typing import Any, Final

import aiohttp
import h11

from knify import errors
from knify.gateway import account, passing, questions, room, sides, vendors
from knify.gateway import counted as counting
from knify.gateway import line as lines
from knify.gateway.caller import Caller
from knify.gateway.counted import Counted
from knify.gateway.prices import Prices
from knify.gateway.tokens import Meter

REQUEST_BYTES: Final = 32 * 1024**2
BODY_SECONDS: Final = 60.0  # for a whole request, which comes from this very machine
_LARGE: Final = 64 * 1024  # bytes of JSON that are read in a thread
_JSON: Final = [("content-type", "application/json")]


class Refused(Exception):
    """Not passed on; the sandbox is told why."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class Calls:
    """One for all sandboxes; made within the event loop."""

    def __init__(
        self, known: vendors.Vendors, prices: Prices, tls: Any, allowed: tuple[str, ...] = ()
    ) -> None:
        """`tls`: what vendors' certificates are checked with (`ssl.SSLContext`).

        `allowed`: patterns of what vendors may do by themselves.
        """
        self._vendors = known
        self._allowed = allowed
        self._prices = prices
        self._room = room.Room()
        self._upstream = passing.Upstream(tls)

    async def close(self) -> None:
        """At the end of this process."""
        await self._upstream.close()

    async def serve(self, caller: Caller, line: lines.Line, request: h11.Request) -> None:
        """A request in origin form."""
        target = request.target.decode("ascii", "replace")
        vendor = self._vendors.of(target)
        if vendor is None or vendor.name not in caller.policy.providers:
            await line.answer(404, "knify: there is nothing here\n")
            return
        method = request.method.decode("ascii", "replace")
        part = room.Part(caller.place.tenant, caller.place.sandbox)
        try:
            route = vendors.route(vendor, method, target)
            if route is None:
                raise Refused(404, "not_found_error", "knify: this is not passed on")
            if not vendor.is_configured:
                raise Refused(401, "authentication_error", f"knify: no key for {vendor.name}")
            content = await self._body(line, part)
            calling = self._call(caller, line, request, route, content)
            await passing.watched(line, calling)
        except TimeoutError:
            await line.answer(408, "knify: the request did not come in time\n")
        except Refused as refused:
            await caller.told.save()  # before it is seen
            text = vendors.complaint(vendor.name, refused.status, refused.kind, refused.message)
            await line.answer(refused.status, text, _JSON)
        finally:
            self._room.give_back(part)

    async def _body(self, line: lines.Line, part: room.Part) -> bytes:
        """All of it. TimeoutError, also when its room is given to another; Refused."""
        content = bytearray()
        async with asyncio.timeout(BODY_SECONDS) as timer:
            part.coming = timer
            try:
                async for piece in line.body():
                    self._take(part, len(piece))
                    content += piece
            finally:
                part.coming = None
        return bytes(content)

    def _take(self, part: room.Part, size: int) -> None:
        if part.size + size > REQUEST_BYTES:
            raise Refused(413, "request_too_large", f"knify: more than {REQUEST_BYTES} bytes")
        if not self._room.take(part, size):
            raise Refused(503, "overloaded_error", "knify: too many large requests under way")

    async def _call(
        self, caller: Caller, line: lines.Line, request: h11.Request, route: vendors.Route,
        content: bytes,
    ) -> None:  # fmt: skip
        line.until(passing.SILENT_SECONDS + passing.CONNECT_SECONDS)
        if request.method != b"POST":
            await self._pass_on(caller, line, request, route, content, None)
            return
        asked = await self._read(caller, route, content)
        if not route.is_call:
            await self._pass_on(caller, line, request, route, asked.content, None)
            return
        self._check(caller, asked)
        meter = Meter(route.vendor.name, asked=asked.tokens)
        counted = Counted(caller, meter, self._prices, asked)
        async with caller.account.places:
            await self._reserve(caller, counted)
            line.until(passing.SILENT_SECONDS + passing.CONNECT_SECONDS)
            passing_on = self._pass_on(caller, line, request, route, asked.content, counted)

            def left() -> None:
                line.abort()  # nothing waits for it to take what is heard
                counted.leave()

            try:
                await sides.lasting(passing_on, left, counting.LEFT_SECONDS)
            finally:  # whatever became of it: what was asked may have to be paid for
                await asyncio.shield(counted.close())

    async def _read(
        self, caller: Caller, route: vendors.Route, content: bytes
    ) -> questions.Question:
        """What it asks, as far as no vendor does anything by itself for it."""
        try:
            if len(content) > _LARGE:
                asked = await asyncio.to_thread(questions.read, route, content, self._allowed)
            else:
                asked = questions.read(route, content, self._allowed)
        except errors.BadRequest as wrong:
            raise Refused(400, "invalid_request_error", f"knify: {wrong.message}") from wrong
        if asked.beyond:
            names = ", ".join(asked.beyond)[:200]
            caller.told.once("tool_refused", f"{route.vendor.name}'s own {names} was refused")
            why = f"{names}: what the vendor does by itself needs the operator's KNIFY_VENDOR_TOOLS"
            raise Refused(400, "invalid_request_error", f"knify: {why}")
        return asked

    def _check(self, caller: Caller, asked: questions.Question) -> None:
        """Whether this model may be asked."""
        named, allowed = asked.model[:200], caller.policy.models
        if allowed and not any(fnmatch.fnmatchcase(asked.model, pattern) for pattern in allowed):
            caller.told.once("model_refused", f"{named} is no model that is allowed here")
            raise Refused(403, "permission_error", "knify: this model is not allowed here")
        if caller.policy.max_cost_usd is not None and self._prices.of(asked.model) is None:
            caller.told.once("model_refused", f"{named} has no price, so it has no budget")
            raise Refused(403, "permission_error", "knify: this model has no price here")

    async def _reserve(self, caller: Caller, counted: Counted) -> None:
        """Its part of the budget, before it is asked."""
        try:
            await counted.reserve()
        except BaseException as failed:
            await asyncio.shield(counted.drop())
            if isinstance(failed, account.Over):
                self._tell_over(caller, str(failed))
                why = f"knify: budget_exceeded: {failed}"
                raise Refused(403, "permission_error", why) from None
            if isinstance(failed, account.Ended):
                raise Refused(403, "permission_error", "knify: this job has ended") from None
            if isinstance(failed, account.Unknown):
                why = "knify: what was used is not known just now"
                raise Refused(503, "overloaded_error", why) from None
            raise

    def _tell_over(self, caller: Caller, problem: str) -> None:
        caller.told.once("budget_exceeded", problem, mark="")

    async def _pass_on(
        self, caller: Caller, line: lines.Line, request: h11.Request, route: vendors.Route,
        content: bytes, counted: Counted | None,
    ) -> None:  # fmt: skip
        vendor = route.vendor
        headers = vendor.headers(list(request.headers))
        ask = passing.Ask(request.method.decode("ascii"), route.url, headers, content)
        try:
            async with self._upstream.asked(ask) as answer:
                await self._pass_back(caller, line, answer, vendor, counted)
        except passing.Unreachable as why:
            if counted is not None and not why.was_asked:
                await asyncio.shield(counted.drop())
            caller.told.once("model_error", f"{vendor.name} cannot be reached: {why}")
            raise Refused(502, "api_error", f"knify: the vendor cannot be reached: {why}") from None

    async def _pass_back(
        self, caller: Caller, line: lines.Line, answer: aiohttp.ClientResponse,
        vendor: vendors.Vendor, counted: Counted | None,
    ) -> None:  # fmt: skip
        """The answer; it counts, however that ends, unless it is an error."""
        headers = vendor.shown(answer.raw_headers)
        if answer.status >= 400:
            if counted is not None:
                await asyncio.shield(counted.drop())
            _tell_error(caller, answer, vendor)
            await caller.told.save()
            await passing.error(line, answer, headers, vendor.secrets)
            return
        if counted is not None:
            counted.begin(answer)
        try:
            await passing.stream(line, answer, headers, counted)
        except passing.Broken:
            if counted is not None:
                caller.told.add("model_error", "the vendor's answer broke off")
            raise
        problem = caller.account.over(caller.policy)
        if counted is not None and problem is not None:
            self._tell_over(caller, problem)


def _tell_error(caller: Caller, answer: aiohttp.ClientResponse, vendor: vendors.Vendor) -> None:
    wait = answer.headers.get("retry-after", "")
    after = f", again after {wait[:40]}" if wait else ""
    if answer.status in (401, 403, 408, 429) or answer.status >= 500:
        caller.told.add("model_error", f"{vendor.name} answered {answer.status}{after}")
