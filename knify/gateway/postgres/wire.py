"""Messages of PostgreSQL's protocol 3.0: a letter, a length that counts itself, a body."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Final

PROTOCOL: Final = 3 << 16
TLS, GSS, CANCEL = 80877103, 80877104, 80877102  # what may stand in place of the protocol
START_BYTES: Final = 10_000  # as the server has it
#: States of a session, as it says that it is ready: in a transaction, or in one that has failed.
BEGUN: Final = b"T"


class Broken(Exception):
    """The other side speaks something else."""


async def start(reader: asyncio.StreamReader, most: int = START_BYTES) -> tuple[int, bytes]:
    """The first message, which has no letter: what it asks, and the rest."""
    (size,) = struct.unpack("!I", await reader.readexactly(4))
    if not 8 <= size <= most:
        raise Broken("no start of a session")
    body = await reader.readexactly(size - 4)
    (code,) = struct.unpack("!I", body[:4])
    return code, body[4:]


async def message(reader: asyncio.StreamReader, most: int) -> tuple[bytes, bytes]:
    """The next message: its letter and its body, of at most so many bytes."""
    head = await reader.readexactly(5)
    kind, size = head[:1], struct.unpack("!I", head[1:])[0]
    if not 4 <= size <= most + 4:
        raise Broken("a message is too long")
    return kind, await reader.readexactly(size - 4)


def pack(kind: bytes, body: bytes = b"") -> bytes:
    """A message."""
    return kind + struct.pack("!I", len(body) + 4) + body


def pack_start(parameters: Mapping[str, str]) -> bytes:
    """The first message of a session."""
    words = b"".join(_text(word) for pair in parameters.items() for word in pair)
    body = struct.pack("!I", PROTOCOL) + words + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def pack_cancel(key: bytes) -> bytes:
    """The only message of a connection: whoever knows a session's key may end what it does."""
    return struct.pack("!II", len(key) + 8, CANCEL) + key


def parameters(body: bytes) -> dict[str, str]:
    """What a first message says. Broken."""
    words = body.split(b"\0")
    if len(words) % 2 or words[-2:] != [b"", b""]:
        raise Broken("no parameters of a session")
    texts = [word.decode("utf-8", "replace") for word in words[:-2]]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def failure(code: str, message_: str) -> bytes:
    """An error that ends the session."""
    fields = (b"SFATAL", b"VFATAL", b"C" + code.encode(), b"M" + message_.encode())
    return pack(b"E", b"".join(_text(one.decode()) for one in fields) + b"\0")


def state(body: bytes) -> str:
    """The five characters by which an error is known; of nothing else are its words."""
    for part in body.split(b"\0"):
        if part[:1] == b"C" and len(part) == 6 and part.isalnum():
            return part[1:].decode()
    return "?????"


def _text(word: str) -> bytes:
    return word.encode() + b"\0"
