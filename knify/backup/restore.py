"""`knify restore`: a backup into an empty home, an empty Redis and an empty object store."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import redis
import zstandard

from knify import errors, install
from knify import settings as settings_module
from knify.backup import archive, keyfiles, snapshot
from knify.host import redis_server
from knify.objects import locate
from knify.objects.base import ObjectStore
from knify.processes import Part
from knify.store import keys, ready
from knify.store import open as store_open
from knify.store import redis as store_redis

_KEPT: Final = ("run", "logs", "tmp")  # of a home: what a start or this very command leaves there
_START: Final = 60.0  # seconds for Redis to start, and for each of its answers
_BATCH: Final = 1_000  # keys in one round trip


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back."""

    installation: str
    made_at: str
    keys: int  # of Redis, in pieces
    objects: int


def restore(
    settings: settings_module.Settings, path: Path, *, passphrase: str | None, replace: bool = False
) -> Restored:
    """Put a backup back, once all of it was verified. Knify must not run.

    Refused with ConfigError, and nothing changed, unless home, Redis and object store are empty
    and no other key is in the way; `replace` empties home and Redis first. What dies half-way is
    said by `install.unfinished`, and begun anew with `replace`.
    """
    head = archive.verify(path)
    _check_home(settings, replace)
    found = keyfiles.opened(settings, path, head, passphrase)
    if not replace:
        keyfiles.check(found)
    objects = _checked(settings, head, replace)
    for folder in (settings.run_dir, settings.home / "logs"):
        folder.mkdir(mode=0o700, exist_ok=True)
    # From here on it is all or nothing.
    keyfiles.write(install.unfinished(settings), b"")
    with _told():
        _empty_home(settings, replace)
        keyfiles.put(found)
        with _redis(settings), _client(settings) as client:
            if replace:
                _empty(client)
            done = _put(client, objects, path)
            store_open.build(client, sandbox_ttl_ms=0).registry.put_back()
        keyfiles.write(settings.home / "installation", f"{head['installation']}\n".encode())
    install.unfinished(settings).unlink()
    return Restored(head["installation"], head["made_at"], *done)


def _check_home(settings: settings_module.Settings, replace: bool) -> None:
    if replace or not settings.home.is_dir():
        return
    if install.unfinished(settings).exists():
        raise errors.ConfigError(
            f"a restore into {settings.home} did not end: begin anew with --replace"
        )
    there = sorted(p.name for p in settings.home.iterdir() if p.name not in _KEPT)
    there = [name for name in there if name != settings.master_key_file.name]
    if there:
        raise errors.ConfigError(
            f"{settings.home} is not empty ({', '.join(there[:5])}): choose another KNIFY_HOME, "
            "or say --replace"
        )


def _checked(
    settings: settings_module.Settings, head: dict[str, Any], replace: bool
) -> ObjectStore:
    """The object store, once it and the operator's Redis may be written to. ConfigError."""
    if settings.redis_url is not None:  # the private one is as empty as the home
        ready.wait(settings, lambda text: None, _START)
        with _told(begun=False), _client(settings) as client:
            names = client.scan_iter(match=f"{keys.PREFIX}*", count=1_000)
            if not replace and next(iter(names), None) is not None:
                raise errors.ConfigError(
                    "Redis holds an installation, or a part of one: say --replace to put this "
                    "over it"
                )
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    objects = locate.connect(settings)
    if head["objects"] and not replace and next(iter(objects.list()), None) is not None:
        raise errors.ConfigError("the object store is not empty: say --replace to write into it")
    return objects


def _empty_home(settings: settings_module.Settings, replace: bool) -> None:
    if not replace:
        return
    if (settings.home / "redis").exists():
        shutil.rmtree(settings.home / "redis")
    for name in ("store.seen", "installation", "admin.key"):
        (settings.home / name).unlink(missing_ok=True)


@contextmanager
def _told(*, begun: bool = True) -> Iterator[None]:
    """What a Redis that fails or refuses means here. ConfigError."""
    try:
        yield
    except redis.RedisError as failed:
        cure = "mend that, then begin anew with --replace" if begun else "nothing was changed"
        raise errors.ConfigError(f"Redis failed: {failed}; {cure}") from failed


@contextmanager
def _redis(settings: settings_module.Settings) -> Iterator[None]:
    """The operator's, or the private one as `knify up` starts it."""
    if settings.redis_url is not None:
        yield
        return
    files = settings.run_dir / "redis.pid", settings.home / "logs" / "redis.log"
    environ = {"PATH": os.environ.get("PATH", os.defpath), "KNIFY_HOME": str(settings.home)}
    server = Part("redis", redis_server.command(settings), environ, *files)
    server.start()
    try:
        ready.wait(settings, lambda text: None, _START)
        yield
    finally:
        server.ask_to_stop()
        server.wait()


@contextmanager
def _client(settings: settings_module.Settings) -> Iterator[store_redis.Client]:
    """A connection that says nothing twice: a repeated RPUSH would double what it brings."""
    client = store_redis.connect(settings.redis, timeout=_START, retries=0)
    try:
        yield client
    finally:
        client.close()


def _empty(client: store_redis.Client) -> None:
    """Away with all of Knify's; last with the name by which others know the store."""
    batch: list[str] = []
    for key in client.scan_iter(match=f"{keys.PREFIX}*", count=1_000):
        if key != keys.INSTALLATION:
            batch.append(key)
        if len(batch) >= _BATCH:
            client.unlink(*batch)
            batch.clear()
    client.unlink(*batch, keys.INSTALLATION)


def _put(client: store_redis.Client, objects: ObjectStore, path: Path) -> tuple[int, int]:
    count, found = 0, 0
    for name, content, _ in archive.members(path):
        if name == archive.RECORDS:
            count = snapshot.write(client, _lines(content))
        elif name.startswith(archive.OBJECTS):
            objects.put(name.removeprefix(archive.OBJECTS), _pieces(content))
            found += 1
    return count, found


def _lines(content: IO[bytes]) -> Iterator[snapshot.Line]:
    with zstandard.ZstdDecompressor().stream_reader(content, closefd=False) as raw:
        for line in io.BufferedReader(raw):
            yield json.loads(line)


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(256 * 1024):
        yield piece
