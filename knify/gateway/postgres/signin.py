"""A session on the operator's server: TLS, the password, one transaction that only reads."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any, Final

import scramp

from knify.gateway.postgres import wire
from knify.gateway.postgres.declared import Database

STATEMENT_SECONDS: Final = 120  # of one statement
_SECONDS: Final = 20.0  # for all of this
_BYTES: Final = 1024**2  # of a message
_SASL: Final = "SCRAM-SHA-256"
_MOST_ROUNDS: Final = 100_000  # of hashing that a server may ask for
_SUPERUSER: Final = b"is_superuser\0on\0"
#: The first query has a snapshot taken: behind it, no transaction can be made one that writes.
#: These limits a client may change; the gateway has its own (`port.py`). By the last one, which not
#: all servers know, a server finds by itself that a gateway has died.
_BEGIN: Final = "; ".join(
    (
        "BEGIN TRANSACTION READ ONLY",
        f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'",
        "SET LOCAL lock_timeout = '10s'",
        "SELECT set_config(name, '10s', true) FROM pg_catalog.pg_settings"
        " WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%'",
        # Whatever it is a member of, it may become: `set_config('role', …)` is a SELECT, too.
        "SELECT 'knify: member of', rolname FROM pg_catalog.pg_roles WHERE rolname <> session_user"
        " AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER') AND (rolsuper OR rolcreaterole"
        " OR rolreplication OR rolbypassrls OR rolname ~ '^pg_') ORDER BY rolname LIMIT 1",
    )
)
_MEMBER: Final = b"knify: member of"


class Refused(Exception):
    """No session; words that may be told."""


@dataclass(frozen=True, slots=True)
class Session:
    """Signed in, and reading."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    settings: bytes  # what the server said of itself, as messages for a client
    key: bytes = field(repr=False)  # with which what it does may be cancelled; b"": it gave none
    database: Database
    peer: tuple[str, int]  # which of its addresses it is at


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
    reader, writer = await connect(database, tls, (database.host, database.port))
    try:
        named = {
            "user": database.user,
            "database": database.database,
            "client_encoding": "UTF8",
            "application_name": "knify",
        }
        writer.write(wire.pack_start(named))
        await _prove(database, reader, writer)
        settings, key = await _until_ready(reader)
        writer.write(wire.pack(b"Q", _BEGIN.encode() + b"\0"))
        await _until_ready(reader, wire.BEGUN)
    except BaseException:
        writer.transport.abort()
        raise
    peer = writer.get_extra_info("peername")[:2]
    return Session(reader, writer, settings, key, database, peer)


async def connect(
    database: Database, tls: ssl.SSLContext, where: tuple[str, int]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection before its first message. Refused, OSError.

    Until TLS is there nothing is read ahead, so that nothing is taken for what came by it.
    """
    loop = asyncio.get_running_loop()
    link = await _dial(loop, *where)
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
        if way == 3 and database.tls == "verify-full":
            answer = database.password.encode() + b"\0"
        elif way == 5:
            answer = _md5(database, rest[:4])
        elif way == 10 and _SASL.encode() in rest.split(b"\0"):
            is_proven = False
            exchange = scramp.ScramClient([_SASL], database.user, database.password)
            first = exchange.get_client_first().encode()
            answer = _SASL.encode() + b"\0" + struct.pack("!I", len(first)) + first
        elif way == 11 and exchange is not None:
            _check_rounds(rest)
            exchange.set_server_first(rest.decode())
            answer = (await asyncio.to_thread(exchange.get_client_final)).encode()
        elif way == 12 and exchange is not None:
            exchange.set_server_final(rest.decode())
            is_proven = True
            continue
        else:
            raise Refused("it wants a login of an unknown kind, or in clear without verify-full")
        writer.write(wire.pack(b"p", answer))


def _check_rounds(first: bytes) -> None:
    """A server that wants billions would keep a thread for hours. Refused."""
    rounds = re.search(rb",i=([0-9]{1,9})(?:,|\Z)", first)
    if rounds is None or int(rounds[1]) > _MOST_ROUNDS:
        raise Refused(f"it wants a password hashed more than {_MOST_ROUNDS:,} times")


def _md5(database: Database, salt: bytes) -> bytes:
    def hashed(data: bytes) -> str:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    inner = hashed(database.password.encode() + database.user.encode())
    return f"md5{hashed(inner.encode() + salt)}".encode() + b"\0"


async def _until_ready(
    reader: asyncio.StreamReader, wanted: bytes | None = None
) -> tuple[bytes, bytes]:
    """What the server says of its settings on the way, and the session's key.

    Refused when it is not `wanted` then, or when it says that it would let us do anything.
    """
    settings = key = b""
    while True:
        kind, body = await wire.message(reader, _BYTES)
        if kind == b"E":
            raise Refused(f"it has no session for us ({wire.state(body)})")
        if kind == b"S":
            if body == _SUPERUSER:
                raise Refused("its login is a superuser's: declare one that may only read")
            settings += wire.pack(kind, body)
        if kind == b"D" and _MEMBER in body:
            role = body.partition(_MEMBER)[2][4:].decode("ascii", "replace")[:63]
            raise Refused(f"its login is a member of {role}: declare one that may only read")
        if kind == b"K":
            key = body
        if kind == b"Z":
            if wanted is not None and body != wanted:
                raise Refused("it began no transaction")
            return settings, key


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
