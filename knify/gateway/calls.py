"""Calls of models: the operator's key is put in, the answer streams through and is counted.

Nothing is buffered but the request, whose model has to be known, and answers that are errors. What
an answer took is in Redis before its last piece is sent on: when a job ends, all that it saw is
counted.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
from typing import Any, Final, Protocol

import aiohttp
import h11
import yarl

from knify import errors
from knify.gateway import line as lines
from knify.gateway import room, vendors
from knify.gateway.account import Account
from knify.gateway.policy import Policy
from knify.gateway.prices import Prices
from knify.gateway.tokens import Meter, Tokens
from knify.gateway.told import Told

log = logging.getLogger(__name__)

REQUEST_BYTES: Final = 32 * 1024**2
BODY_SECONDS: Final = 60.0  # for a whole request, which comes from this very machine
_ERROR_BYTES: Final = 256 * 1024
_LARGE: Final = 64 * 1024  # bytes of JSON that are read in a thread
_SILENT_SECONDS: Final = 900.0  # of a vendor
_CONNECT_SECONDS: Final = 15.0
_KEEP_SECONDS: Final = 15.0  # an idle connection: less than vendors keep it
_JSON: Final = [("content-type", "application/json")]


class Caller(Protocol):
    """Whose call it is."""

    @property
    def policy(self) -> Policy:
        """As it is now."""

    @property
    def told(self) -> Told:
        """Its events."""

    @property
    def account(self) -> Account:
        """What it has used."""


class Refused(Exception):
    """Not passed on; the sandbox is told why."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class Calls:
    """One for all sandboxes; made within the event loop."""

    def __init__(self, known: vendors.Vendors, prices: Prices, tls: Any) -> None:
        """`tls`: what vendors' certificates are checked with (`ssl.SSLContext`)."""
        self._vendors = known
        self._prices = prices
        self._room = room.Room()
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_SECONDS, ssl=tls),
            timeout=limits,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """At the end of this process."""
        await self._session.close()

    async def serve(self, caller: Caller, line: lines.Line, request: h11.Request) -> None:
        """A request in origin form."""
        target = request.target.decode("ascii", "replace")
        vendor = self._vendors.of(target)
        if vendor is None or vendor.name not in caller.policy.providers:
            await line.answer(404, "knify: there is nothing here\n")
            return
        method = request.method.decode("ascii", "replace")
        held = 0
        try:
            route = vendors.route(vendor, method, target)
            if route is None:
                raise Refused(404, "not_found_error", "knify: this is not passed on")
            if not vendor.is_configured:
                raise Refused(401, "authentication_error", f"knify: no key for {vendor.name}")
            content = bytearray()
            async with asyncio.timeout(BODY_SECONDS):
                async for piece in line.body():
                    held += self._take(caller, len(piece), len(content) + len(piece))
                    content += piece
            await self._watched(caller, line, request, route, bytes(content))
        except TimeoutError:
            await line.answer(408, "knify: the request did not come in time\n")
        except Refused as refused:
            text = vendors.complaint(vendor.name, refused.kind, refused.message)
            await line.answer(refused.status, text, _JSON)
        finally:
            self._room.give_back(caller, held)

    def _take(self, caller: Caller, size: int, total: int) -> int:
        if total > REQUEST_BYTES:
            raise Refused(413, "request_too_large", f"knify: more than {REQUEST_BYTES} bytes")
        if not self._room.take(caller, size):
            raise Refused(503, "overloaded_error", "knify: too many large requests under way")
        return size

    async def _watched(
        self, caller: Caller, line: lines.Line, request: h11.Request, route: vendors.Route,
        content: bytes,
    ) -> None:  # fmt: skip
        """Pass it on, as long as the sandbox waits for the answer."""
        calling = asyncio.create_task(self._call(caller, line, request, route, content))
        watching = asyncio.create_task(line.left())
        try:
            await asyncio.wait({calling, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise lines.Gone
            await calling
        finally:
            for task in (calling, watching):
                task.cancel()
            await asyncio.gather(calling, watching, return_exceptions=True)

    async def _call(
        self, caller: Caller, line: lines.Line, request: h11.Request, route: vendors.Route,
        content: bytes,
    ) -> None:  # fmt: skip
        line.until(_SILENT_SECONDS + _CONNECT_SECONDS)
        if not route.is_call:
            await self._pass_on(caller, line, request, route, content, None)
            return
        named = await self._checked(caller, route, content)
        async with caller.account.places:
            await self._check_budget(caller, named)
            await self._pass_on(caller, line, request, route, content, named)

    async def _checked(self, caller: Caller, route: vendors.Route, content: bytes) -> str:
        """The model that it asks, if it may."""
        try:
            if len(content) > _LARGE:
                named = await asyncio.to_thread(vendors.asked, route, content)
            else:
                named = vendors.asked(route, content)
        except errors.BadRequest as wrong:
            raise Refused(400, "invalid_request_error", f"knify: {wrong.message}") from wrong
        assert named is not None
        allowed = caller.policy.models
        if allowed and not any(fnmatch.fnmatchcase(named, pattern) for pattern in allowed):
            caller.told.once("model_refused", f"{named[:200]} is no model that is allowed here")
            raise Refused(403, "permission_error", "knify: this model is not allowed here")
        return named

    async def _check_budget(self, caller: Caller, named: str) -> None:
        if caller.policy.max_cost_usd is not None and self._prices.of(named) is None:
            caller.told.once("model_refused", f"{named[:200]} has no price, so it has no budget")
            raise Refused(403, "permission_error", "knify: this model has no price here")
        await caller.account.save(ask=True)
        if caller.account.has_ended:
            raise Refused(403, "permission_error", "knify: this job has ended")
        has_budget = (caller.policy.max_tokens, caller.policy.max_cost_usd) != (None, None)
        if has_budget and not caller.account.is_known:
            raise Refused(503, "overloaded_error", "knify: what was used is not known just now")
        problem = caller.account.refuses(caller.policy)
        if problem is not None:
            self._tell_over(caller, problem)
            raise Refused(403, "permission_error", f"knify: budget_exceeded: {problem}")

    def _tell_over(self, caller: Caller, problem: str) -> None:
        caller.told.once("budget_exceeded", problem, mark="")

    async def _pass_on(
        self, caller: Caller, line: lines.Line, request: h11.Request, route: vendors.Route,
        content: bytes, named: str | None,
    ) -> None:  # fmt: skip
        vendor = route.vendor
        counted = None
        if named is not None:
            counted = Counted(caller, Meter(vendor.name, asked=len(content)), self._prices, named)
        try:
            answer = await self._session.request(
                request.method.decode("ascii"),
                yarl.URL(route.url, encoded=True),
                data=content or None,
                headers=vendor.headers(list(request.headers)),
                skip_auto_headers=("user-agent", "content-type", "accept"),
                allow_redirects=False,
            )
        except asyncio.CancelledError:
            if counted is not None:  # what was asked may have to be paid for
                await asyncio.shield(counted.close())
            raise
        except (aiohttp.ClientError, OSError) as failed:
            why = _words(failed)
            caller.told.once("model_error", f"{vendor.name} cannot be reached: {why}")
            raise Refused(502, "api_error", f"knify: the vendor cannot be reached: {why}") from None
        try:
            if answer.status >= 400:
                await self._pass_error(caller, line, answer, vendor)
            elif counted is None:
                await _stream(line, answer, None)
            else:
                counted.meter.is_stream = _is_stream(answer)
                await self._counted(line, answer, counted)
        finally:
            if not answer.content.at_eof():
                answer.close()
            answer.release()

    async def _counted(
        self, line: lines.Line, answer: aiohttp.ClientResponse, counted: Counted
    ) -> None:
        """Stream it; it counts, however that ends."""
        try:
            await _stream(line, answer, counted)
        finally:
            await asyncio.shield(counted.close())
        problem = counted.caller.account.over(counted.caller.policy)
        if problem is not None:
            self._tell_over(counted.caller, problem)

    async def _pass_error(
        self, caller: Caller, line: lines.Line, answer: aiohttp.ClientResponse,
        vendor: vendors.Vendor,
    ) -> None:  # fmt: skip
        """What went wrong there, without the key, should the vendor have quoted it."""
        wait = answer.headers.get("retry-after", "")
        after = f", again after {wait[:40]}" if wait else ""
        if answer.status in (401, 403, 408, 429) or answer.status >= 500:
            caller.told.add("model_error", f"{vendor.name} answered {answer.status}{after}")
        content = await answer.content.read(_ERROR_BYTES)
        while len(content) < _ERROR_BYTES and (more := await answer.content.read(_ERROR_BYTES)):
            content += more
        if vendor.key:
            content = content.replace(vendor.key.encode(), b"[hidden]")
        kept = vendors.shown(answer.raw_headers)
        headers = [*kept, (b"content-length", str(len(content)).encode())]
        await line.send(h11.Response(status_code=answer.status, headers=headers))
        await line.send(h11.Data(data=content))
        await line.send(h11.EndOfMessage())


class Counted:
    """One answer on its way into an account."""

    def __init__(self, caller: Caller, meter: Meter, prices: Prices, named: str) -> None:
        self.caller = caller
        self.meter = meter
        self._prices, self._named = prices, named
        self._booked = Tokens()
        self._calls = 1  # of which the first booking tells
        self._is_whole = False

    @property
    def is_due(self) -> bool:
        """Whether what is known now is all, and not booked."""
        seen = self.meter.seen
        return seen.is_final and seen.is_told and bool((seen.tokens - self._booked).total)

    async def book(self) -> None:
        """Into Redis, before what told it is sent on."""
        found = self.meter.count(is_whole=self._is_whole)
        price = self._prices.of(self.meter.seen.model) or self._prices.of(self._named)
        self.caller.account.add(found - self._booked, price, calls=self._calls)
        self._booked, self._calls = found, 0
        await self.caller.account.save()

    def end(self) -> None:
        """The answer came to its end."""
        self.meter.end()
        self._is_whole = True

    async def close(self) -> None:
        """Whatever is not booked yet."""
        if self._calls or (self.meter.count(is_whole=self._is_whole) - self._booked).total:
            await self.book()


async def _stream(
    line: lines.Line, answer: aiohttp.ClientResponse, counted: Counted | None
) -> None:
    """Piece by piece; the last one of an answer that is no stream waits until it is counted."""
    headers = vendors.shown(answer.raw_headers)
    await line.send(h11.Response(status_code=answer.status, headers=headers))
    last = b""
    try:
        async for piece in answer.content.iter_any():
            line.until(_SILENT_SECONDS)
            if counted is None:
                await line.send(h11.Data(data=piece))
                continue
            counted.meter.feed(piece)
            if counted.is_due:
                await counted.book()
            if not _is_stream(answer):
                last, piece = piece, last
            if piece:
                await line.send(h11.Data(data=piece))
    except (aiohttp.ClientError, OSError) as failed:
        if counted is not None:
            counted.caller.told.add("model_error", "the vendor's answer broke off")
        raise lines.Gone from failed  # half an answer: the sandbox's connection breaks, too
    if counted is not None:
        counted.end()
        await counted.close()
    if last:
        await line.send(h11.Data(data=last))
    await line.send(h11.EndOfMessage())


def _is_stream(answer: aiohttp.ClientResponse) -> bool:
    return answer.content_type == "text/event-stream"


def _words(failed: Exception) -> str:
    if isinstance(failed, TimeoutError):
        return "no answer in time"
    return (getattr(failed, "strerror", None) or type(failed).__name__)[:200]
