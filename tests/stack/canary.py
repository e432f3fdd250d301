"""A secret that can be recognised, and everywhere that it must not be: disk, Redis, Podman."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

import redis
import zstandard

from knify import core
from knify.host import podman
from tests.parts.stack import Stack

SECRET = "sk-of-the-operator"


def forms(secret: str) -> list[str]:
    """By which it would be known, however it is written down."""
    raw = secret.encode()
    return [
        secret,
        json.dumps(secret)[1:-1],
        urllib.parse.quote(secret, safe=""),
        raw.hex(),
        raw.hex().upper(),
        *(base64.b64encode(b"x" * n + raw).decode()[4:20] for n in range(3)),
    ]


def found(texts: Iterable[str], secret: str = SECRET) -> list[str]:
    """What is around it where it is; empty: it is nowhere."""
    at = ((text, text.find(form)) for text in texts for form in forms(secret))
    return [text[max(0, n - 100) : n + 50] for text, n in at if n >= 0]


def asked(stack: Stack, *words: str) -> str:
    """What Podman answers."""
    answer = podman.call(*words, conf=stack.containers_conf)
    assert answer.ok, answer.err
    return answer.out + answer.err


def files(stack: Stack) -> dict[str, str]:
    """All that Knify keeps on the disk: logs, objects, Redis's log; packed ones unpacked."""
    found = {}
    for file in stack.home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # some come and go
            if file.is_file():
                found[str(file)] = _unpacked(file.read_bytes()).decode("latin-1")
    return found


def dumped(stack: Stack, job_id: str) -> str:
    """All values that Redis holds, and what its packed record says."""
    store = redis.Redis.from_url(f"unix://{stack.home}/run/redis.sock")
    read = {
        b"string": store.get,
        b"hash": store.hgetall,
        b"set": store.smembers,
        b"list": lambda key: store.lrange(key, 0, -1),
        b"zset": lambda key: store.zrange(key, 0, -1),
        b"stream": store.xrange,
    }
    kinds = {key: store.type(key) for key in store.scan_iter("*")}
    values = {key: read[kind](key) for key, kind in kinds.items() if kind in read}
    return repr(values) + repr(core.connect(stack.settings).store.executions.find(job_id))


def environments(stack: Stack, *parts: str) -> list[str]:
    """Of these processes."""
    paths = [Path(f"/proc/{stack.pid(part)}/environ") for part in parts]
    return [path.read_bytes().decode("latin-1") for path in paths]


def _unpacked(data: bytes) -> bytes:
    if data.startswith(zstandard.FRAME_HEADER):
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
