"""`knify backup`: keys, records and objects of one moment into one file, while all goes on."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyrage
import redis
import zstandard

from knify import __version__, clock, errors, install
from knify.backup import archive, snapshot
from knify.core import Core

_HOLD: Final = 120  # seconds for which nothing is deleted, said again while it lasts


@dataclass(frozen=True, slots=True)
class Saved:
    """What a backup holds."""

    path: Path
    size: int  # bytes
    keys: int  # of Redis, in pieces
    objects: int
    missing: int  # objects that a user deleted meanwhile


def save(core: Core, to: Path, *, passphrase: str | None, objects: bool = True) -> Saved:
    """Write a backup to a new file, or into a folder under a name of its own.

    `passphrase` seals the master key and the admin key into it; None leaves them out.
    ConfigError; ObjectStoreError. A backup that did not come to its end leaves no file.
    """
    installation = install.marked(core.settings)
    if installation is None or core.store.registry.known_installation() != installation:
        raise errors.ConfigError(f"{core.settings.home} is not the home of this Redis")
    path = to / _name(installation) if to.is_dir() else to
    if path.exists():
        raise errors.ConfigError(f"{path} exists: a backup replaces none")
    part = path.with_name(path.name + ".part")
    try:
        with _private(part) as file, _nothing_goes(core):
            writer = archive.Writer(file)
            writer.add_bytes(archive.HEAD, _head(core, installation, passphrase, objects))
            for name, data in _keys(core, passphrase):
                writer.add_bytes(archive.KEYS + name, data)
            count = _records(core, writer)
            found, missing = _objects(core, writer) if objects else (0, 0)
            writer.close()
        part.replace(path)
    except OSError as failed:
        raise errors.ConfigError(f"{path} cannot be written: {failed}") from failed
    finally:
        part.unlink(missing_ok=True)
    return Saved(path, path.stat().st_size, count, found, missing)


def _name(installation: str) -> str:
    moment = clock.rfc3339(clock.now_ms())[:19].replace(":", "").replace("-", "")
    return f"knify-{installation}-{moment}.tar"


@contextmanager
def _private(path: Path) -> Iterator[Any]:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _nothing_goes(core: Core) -> Iterator[None]:
    """What the records of this moment name must still be there when it is read."""
    ended = threading.Event()

    def hold() -> None:
        while not ended.wait(_HOLD / 4):
            try:
                core.store.registry.keep_all(_HOLD)
            except redis.RedisError:  # the snapshot's own end says so, if it matters
                continue

    core.store.registry.keep_all(_HOLD)
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        core.store.registry.keep_all(0)


def _head(core: Core, installation: str, passphrase: str | None, objects: bool) -> bytes:
    head = {
        "format": archive.FORMAT,
        "version": __version__,
        "installation": installation,
        "schema": core.store.registry.schema(),
        "made_at": clock.rfc3339(core.store.registry.now_ms()),
        "master_key": "sealed" if passphrase else "left out",
        "objects": objects,
        "object_store": core.settings.object_store,
    }
    return json.dumps(head, indent=1).encode()


def _keys(core: Core, passphrase: str | None) -> Iterator[tuple[str, bytes]]:
    if not passphrase:
        return
    files = {"master.key": core.settings.master_key_file}
    files["admin.key"] = install.key_file(core.settings)
    for name, path in files.items():
        if path.exists():
            yield f"{name}.age", pyrage.passphrase.encrypt(path.read_bytes(), passphrase)


def _records(core: Core, writer: archive.Writer) -> int:
    folder = core.settings.home / "tmp"
    folder.mkdir(mode=0o700, exist_ok=True)
    count = 0
    with tempfile.TemporaryDirectory(prefix="backup-", dir=folder) as scratch:
        dump, packed = Path(scratch) / "dump.rdb", Path(scratch) / archive.RECORDS
        snapshot.fetch(core.store.client, dump)
        with (
            snapshot.loaded(dump, _database(core)) as loaded,
            packed.open("wb") as raw,
            zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as out,
        ):
            for line in snapshot.lines(loaded):
                out.write(snapshot.encode(line))
                count += 1
        dump.unlink()
        with packed.open("rb") as file:
            writer.add(archive.RECORDS, file, packed.stat().st_size)
    return count


def _database(core: Core) -> int:
    """Which of the server's databases is ours."""
    return int(core.store.client.connection_pool.connection_kwargs.get("db") or 0)


def _objects(core: Core, writer: archive.Writer) -> tuple[int, int]:
    """All of them; one that a user deleted since the listing is no error."""
    found, missing = 0, 0
    for row in core.objects.list():
        try:
            with core.objects.open(row.key) as reader:
                writer.add(archive.OBJECTS + row.key, reader, reader.size)
            found += 1
        except errors.ObjectMissing:
            missing += 1
    return found, missing
