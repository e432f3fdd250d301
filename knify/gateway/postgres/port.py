"""The port in a sandbox at which a client finds the operator's databases, each by its name.

    psql -h 127.0.0.1 -p 8120 crm

Whatever user and password a client gives is ignored: who it is is known by where it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from knify import kinds
from knify.gateway import line as lines
from knify.gateway.door import Door
from knify.gateway.postgres import signin, statements, wire
from knify.gateway.postgres.declared import Database

SHARE: Final = 4  # sessions of one sandbox at one time
_START_SECONDS: Final = 30.0
_WAIT_SECONDS: Final = 60.0  # for one of the places that there are
_IDLE_SECONDS: Final = 900.0
_BYTES: Final = 1024**2  # of a message from a sandbox
_TRIES: Final = 3  # of a client that would like TLS first
_DENIED: Final = "28000"  # SQLSTATEs
_AWAY: Final = "08006"
_BUSY: Final = "53300"
_READ_ONLY: Final = "25006"


class Failure(Exception):
    """The client is told, and its session ends."""

    def __init__(self, code: str, message: str, stage: str | None = None) -> None:
        """`stage`: of the event that tells of it, too."""
        super().__init__(message)
        self.code, self.message, self.stage = code, message, stage


class Port:
    """One for all sandboxes."""

    def __init__(self, databases: Mapping[str, Database], tls: ssl.SSLContext) -> None:
        self._databases, self._tls = databases, tls
        self._places = {n: asyncio.Semaphore(one.connections) for n, one in databases.items()}
        self._shares: WeakKeyDictionary[Door, asyncio.Semaphore] = WeakKeyDictionary()

    def names(self, tenant: str) -> list[str]:
        """The databases that this tenant's jobs may ask."""
        return sorted(name for name, one in self._databases.items() if one.is_for(tenant))

    async def serve(self, door: Door, line: lines.Line) -> None:
        """One client."""
        try:
            name = await self._started(line)
            database = self._database(door, name)
            async with self._place(door, line, database):
                await self._serve(door, line, database)
        except Failure as failure:
            if failure.stage:
                door.told.once(failure.stage, failure.message)
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

    @contextlib.asynccontextmanager
    async def _place(self, door: Door, line: lines.Line, database: Database) -> AsyncIterator[None]:
        """A session that both the sandbox and the server may have."""
        line.until(_WAIT_SECONDS + _START_SECONDS)
        share = self._shares.setdefault(door, asyncio.Semaphore(SHARE))
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    for places in (share, self._places[database.name]):
                        await held.enter_async_context(places)
            except TimeoutError:
                raise Failure(_BUSY, f"{database.name}: too many sessions at this time") from None
            yield

    async def _serve(self, door: Door, line: lines.Line, database: Database) -> None:
        try:
            session = await signin.open(database, self._tls)
        except signin.Refused as why:
            raise Failure(_AWAY, f"{database.name}: {why}", "database_error") from why
        line.bind(session.writer)
        back = asyncio.create_task(_back(line, session))
        forth = asyncio.create_task(_forth(line, session, database.name))
        try:
            line.writer.write(wire.pack(b"R", bytes(4)) + session.settings)
            line.writer.write(wire.pack(b"Z", wire.BEGUN))
            await asyncio.wait({back, forth}, return_when=asyncio.FIRST_COMPLETED)
            if forth.done():
                await forth
        finally:
            for task in (back, forth):
                task.cancel()
            await asyncio.gather(back, forth, return_exceptions=True)
            session.writer.transport.abort()


async def _forth(line: lines.Line, session: signin.Session, name: str) -> None:
    """What the client asks, message by message, until it ends or asks for more than it may."""
    while True:
        line.until(_IDLE_SECONDS)
        kind, body = await wire.message(line.reader, _BYTES)
        why = statements.refusal(kind, body)
        if why is not None:
            raise Failure(_READ_ONLY, f"{name} was asked for what is not allowed: {why}",
                          "database_refused")  # fmt: skip
        session.writer.write(wire.pack(kind, body))
        await session.writer.drain()
        if kind == b"X":
            return


async def _back(line: lines.Line, session: signin.Session) -> None:
    """What the server answers, as it comes."""
    while data := await session.reader.read(lines.READ_BYTES):
        line.until(_IDLE_SECONDS)
        line.writer.write(data)
        await line.writer.drain()
