"""A session on the operator's server: TLS, the password, one transaction that only reads."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Any, Final

import scramp

from knify.gateway.postgres import wire
from knify.gateway.postgres.declared import Database

STATEMENT_SECONDS: Final = 120  # of one statement
_SECONDS: Final = 20.0  # for all of this
_BYTES: Final = 1024**2  # of a message
_SASL: Final = "SCRAM-SHA-256"
#: The first query has a snapshot taken: behind it, no transaction can be made one that writes.
_BEGIN: Final = (
    "BEGIN TRANSACTION READ ONLY; "
    f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; SET LOCAL lock_timeout = '10s'; "
    "SELECT 1"
)


class Refused(Exception):
    """No session; words that may be told."""


@dataclass(frozen=True, slots=True)
class Session:
    """Signed in, and reading."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    settings: bytes  # what the server said of itself, as messages for a client


async def open(database: Database, tls: ssl.SSLContext) -> Session:
    """A session. Refused."""
    try:
        async with asyncio.timeout(_SECONDS):
            return await _open(database, tls)
    except TimeoutError as late:
        raise Refused("no answer in time") from late
    except ssl.SSLError as failed:
        raise Refused("TLS failed: see sslmode") from failed
    except (OSError, asyncio.IncompleteReadError) as failed:
        raise Refused("it cannot be reached") from failed
    except (wire.Broken, scramp.ScramException, struct.error, UnicodeError) as failed:
        raise Refused("it speaks something else than it should") from failed


async def _open(database: Database, tls: ssl.SSLContext) -> Session:
    reader, writer = await _connect(database, tls)
    try:
        named = {
            "user": database.user,
            "database": database.database,
            "client_encoding": "UTF8",
            "application_name": "knify",
        }
        writer.write(wire.pack_start(named))
        await _prove(database, reader, writer)
        settings = await _until_ready(reader)
        writer.write(wire.pack(b"Q", _BEGIN.encode() + b"\0"))
        await _until_ready(reader, wire.BEGUN)
    except BaseException:
        writer.transport.abort()
        raise
    return Session(reader, writer, settings)


async def _connect(
    database: Database, tls: ssl.SSLContext
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Until TLS is there nothing is read ahead, so that nothing is taken for what came by it."""
    loop = asyncio.get_running_loop()
    link = await _dial(loop, database.host, database.port)
    try:
        if database.tls == "disable":
            return await asyncio.open_connection(sock=link)
        await loop.sock_sendall(link, struct.pack("!II", 8, wire.TLS))
        if await loop.sock_recv(link, 1) != b"S":
            raise Refused("its server has no TLS: see sslmode")
        context = tls if database.tls == "verify-full" else _unverified()
        return await asyncio.open_connection(sock=link, ssl=context, server_hostname=database.host)
    except BaseException:
        link.close()
        raise


async def _dial(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """The first of its addresses that answers."""
    last: OSError = ConnectionRefusedError()
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        link = socket.socket(family, kind, protocol)
        link.setblocking(False)
        try:
            await loop.sock_connect(link, address)
        except OSError as failed:
            last = failed
            link.close()
        except BaseException:
            link.close()
            raise
        else:
            return link
    raise last


async def _prove(
    database: Database, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Who we are, by whatever way the server wants. Refused."""
    exchange: Any = None
    is_proven = True  # that the server knows the password, too, where it can show that
    while True:
        kind, body = await wire.message(reader, _BYTES)
        if kind == b"E":
            raise Refused(f"it refused the login ({wire.state(body)})")
        if kind != b"R":
            continue
        (way,), rest = struct.unpack("!I", body[:4]), body[4:]
        if way == 0:
            if not is_proven:
                raise Refused("it did not prove that it knows the password")
            return
        if way == 3 and database.tls != "disable":
            answer = database.password.encode() + b"\0"
        elif way == 5:
            answer = _md5(database, rest[:4])
        elif way == 10 and _SASL.encode() in rest.split(b"\0"):
            is_proven = False
            exchange = scramp.ScramClient([_SASL], database.user, database.password)
            first = exchange.get_client_first().encode()
            answer = _SASL.encode() + b"\0" + struct.pack("!I", len(first)) + first
        elif way == 11 and exchange is not None:
            exchange.set_server_first(rest.decode())
            answer = (await asyncio.to_thread(exchange.get_client_final)).encode()
        elif way == 12 and exchange is not None:
            exchange.set_server_final(rest.decode())
            is_proven = True
            continue
        else:
            raise Refused("it wants a login of a kind that is not known here, or in clear")
        writer.write(wire.pack(b"p", answer))


def _md5(database: Database, salt: bytes) -> bytes:
    def hashed(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    inner = hashed(database.password.encode() + database.user.encode())
    return f"md5{hashed(inner.encode() + salt)}".encode() + b"\0"


async def _until_ready(reader: asyncio.StreamReader, wanted: bytes | None = None) -> bytes:
    """What the server says of its settings on the way. Refused when it is not `wanted` then."""
    settings = b""
    while True:
        kind, body = await wire.message(reader, _BYTES)
        if kind == b"E":
            raise Refused(f"it has no session for us ({wire.state(body)})")
        if kind == b"S":
            settings += wire.pack(kind, body)
        if kind == b"Z":
            if wanted is not None and body != wanted:
                raise Refused("it began no transaction")
            return settings


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
