"""The port in a sandbox at which a client finds the operator's databases, each by its name.

    psql -h 127.0.0.1 -p 8120 crm

Whatever user and password a client gives is ignored: who it is is known by where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Mapping
from typing import Final
from weakref import WeakKeyDictionary

from knify import kinds
from knify.gateway import line as lines
from knify.gateway import sides
from knify.gateway.door import Door
from knify.gateway.postgres import ending, signin, statements, wire
from knify.gateway.postgres.declared import Database
from knify.gateway.postgres.flow import Flow
from knify.gateway.postgres.sessions import Sessions

log = logging.getLogger(__name__)

SHARE: Final = 4  # sessions of one sandbox at one time
_START_SECONDS: Final = 30.0
_WAIT_SECONDS: Final = 60.0  # for one of the sessions that a database may have
_SESSION_SECONDS: Final = 600.0  # of all of it
_IDLE_SECONDS: Final = 60.0  # in which its client asks nothing
_STATEMENT_SECONDS: Final = signin.STATEMENT_SECONDS + 5.0  # the server's own limit comes first
_LOOK_SECONDS: Final = 0.5
_LAST_SECONDS: Final = 10.0  # in which a client takes the words with which its session ends
_CLOSE_SECONDS: Final = 5.0
_BYTES: Final = 1024**2  # of a message from a sandbox
_TRIES: Final = 3  # of a client that would like TLS first
_DENIED: Final = "28000"  # SQLSTATEs
_AWAY: Final = "08006"
_BUSY: Final = "53300"
_READ_ONLY: Final = "25006"
_CANCELED: Final = "57014"
_IDLE: Final = "25P03"


class Failure(Exception):
    """The client is told, and its session ends."""

    def __init__(self, code: str, message: str, stage: str | None = None) -> None:
        """`stage`: of the event that tells of it, too."""
        super().__init__(message)
        self.code, self.message, self.stage = code, message, stage
        self.is_amid = False  # the client waits for the rest of something else


class Port:
    """One for all sandboxes."""

    def __init__(self, databases: Mapping[str, Database], tls: ssl.SSLContext) -> None:
        self._databases, self._tls = databases, tls
        self._sessions = {name: Sessions(one) for name, one in databases.items()}
        self._shares: WeakKeyDictionary[Door, asyncio.Semaphore] = WeakKeyDictionary()
        self._endings: set[asyncio.Task[None]] = set()

    def names(self, tenant: str) -> list[str]:
        """The databases that this tenant's jobs may ask."""
        return sorted(name for name, one in self._databases.items() if one.is_for(tenant))

    async def serve(self, door: Door, line: lines.Line) -> None:
        """One client."""
        try:
            name = await self._started(line)
            database = self._database(door, name)
            async with contextlib.AsyncExitStack() as held:
                await self._take(held, door, line, database)
                await self._serve(held, door, line, database)
        except Failure as failure:
            if failure.stage:
                door.told.once(failure.stage, failure.message)
            if failure.is_amid:
                raise lines.Gone from failure
            line.until(_LAST_SECONDS)
            line.writer.write(wire.failure(failure.code, f"knify: {failure.message}"))
            await line.writer.drain()
        except (wire.Broken, asyncio.IncompleteReadError) as failed:
            raise lines.Gone from failed

    async def _started(self, line: lines.Line) -> str:
        """The name of the database that the client wants."""
        line.until(_START_SECONDS)
        for _ in range(_TRIES):
            code, body = await wire.start(line.reader)
            if code in (wire.TLS, wire.GSS):
                line.writer.write(b"N")
                continue
            if code != wire.PROTOCOL:  # of others, and a cancellation: the session's end is one
                raise lines.Gone
            asked = wire.parameters(body)
            return asked.get("database") or asked.get("user", "")
        raise lines.Gone

    def _database(self, door: Door, name: str) -> Database:
        found = self._databases.get(name)
        is_open = kinds.DATABASES in door.policy.services
        if found is None or not is_open or not found.is_for(door.place.tenant):
            raise Failure(_DENIED, f"there is no database {name[:63]} here (KNIFY_DATABASES_FILE)")
        return found

    async def _take(
        self, held: contextlib.AsyncExitStack, door: Door, line: lines.Line, database: Database
    ) -> None:
        """A session that the sandbox, its tenant and the server may have. Failure."""
        line.until(_WAIT_SECONDS + _START_SECONDS)
        share = self._shares.setdefault(door, asyncio.Semaphore(SHARE))
        sessions, tenant = self._sessions[database.name], door.place.tenant
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await held.enter_async_context(share)
                await sessions.take(tenant)
                held.callback(sessions.give_back, tenant)
        except TimeoutError:
            raise Failure(_BUSY, f"{database.name}: too many sessions at this time") from None

    async def _serve(
        self, held: contextlib.AsyncExitStack, door: Door, line: lines.Line, database: Database
    ) -> None:
        try:
            session = await signin.open(database, self._tls)
        except signin.Refused as why:
            raise Failure(_AWAY, f"{database.name}: {why}", "database_error") from why
        lines.narrow(session.writer)
        line.until(_SESSION_SECONDS + 2 * _LAST_SECONDS)
        flow = Flow()
        try:
            line.writer.write(wire.pack(b"R", bytes(4)) + session.settings)
            line.writer.write(wire.pack(b"Z", wire.BEGUN))
            await sides.first(
                _watch(database.name, flow),
                _forth(line, session, flow),
                sides.copy(session.reader, line.writer, flow.answered),
            )
        except Failure as failure:
            failure.is_amid = flow.is_amid
            raise
        finally:  # whatever ends this one, the session's own end is waited for elsewhere
            ended = asyncio.create_task(self._end(held.pop_all(), session, flow))
            self._endings.add(ended)
            ended.add_done_callback(self._endings.discard)

    async def _end(
        self,
        held: contextlib.AsyncExitStack,
        session: signin.Session,
        flow: Flow,
    ) -> None:
        """Its places are free only when the server has none of it any more."""
        async with held:
            if not await ending.end(session, self._tls, is_asked=flow.is_asked):
                log.warning("%s: its server does not end a session", session.database.name)

    async def close(self) -> None:
        """Behind the doors' closing: the sessions' ends, for as long as that is bearable."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=_CLOSE_SECONDS)


async def _watch(name: str, flow: Flow) -> None:
    """Ends it in time, whatever the server was told to think of its own limits."""
    end = time.monotonic() + _SESSION_SECONDS
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        if now > end:
            why = f"a session may take {_SESSION_SECONDS:g} s"
            raise Failure(_CANCELED, f"{name}: {why}", "database_error")
        if flow.is_asked and now > flow.since + _STATEMENT_SECONDS:
            why = f"a statement may take {signin.STATEMENT_SECONDS} s"
            raise Failure(_CANCELED, f"{name}: {why}", "database_error")
        if not flow.is_asked and now > flow.since + _IDLE_SECONDS:
            raise Failure(_IDLE, f"{name}: nothing was asked for {_IDLE_SECONDS:g} s")


async def _forth(line: lines.Line, session: signin.Session, flow: Flow) -> None:
    """What the client asks, message by message, until it ends or asks for more than it may."""
    name = session.database.name
    while True:
        kind, body = await wire.message(line.reader, _BYTES)
        await line.turns.next()  # with what is buffered, the reader lets nobody else run
        why = statements.refusal(kind, body)
        if why is not None:
            raise Failure(_READ_ONLY, f"{name} was asked for what is not allowed: {why}",
                          "database_refused")  # fmt: skip
        if kind == b"X":
            return
        flow.asked(kind)
        session.writer.write(wire.pack(kind, body))
        await session.writer.drain()
