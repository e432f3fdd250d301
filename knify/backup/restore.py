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

import pyrage
import zstandard

from knify import core as core_module
from knify import errors, hints, install
from knify import settings as settings_module
from knify.backup import archive, snapshot
from knify.core import Core
from knify.host import redis_server
from knify.processes import Part
from knify.store import keys, ready

_KEPT: Final = ("run", "logs", "tmp")  # of a home: what a start or this very command leaves there
_START: Final = 60.0


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

    Refused with ConfigError unless home, Redis and object store are empty; `replace` empties
    home and Redis first. What dies half-way is said by `unfinished`, and begun anew with `replace`.
    """
    head = archive.verify(path)
    _check_home(settings, replace)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in (settings.run_dir, settings.home / "logs"):
        folder.mkdir(mode=0o700, exist_ok=True)
    if replace:
        _empty_home(settings)
    install.unfinished(settings).touch()
    _put_keys(settings, path, head, passphrase)
    with _redis(settings):
        core = core_module.connect(settings, hints.RecordedHints())
        _check_empty(core, replace)
        count, objects = _put(core, path)
        core.store.registry.put_back()
        core.store.client.close()
    (settings.home / "installation").write_text(f"{head['installation']}\n")
    install.unfinished(settings).unlink()
    return Restored(head["installation"], head["made_at"], count, objects)


def _check_home(settings: settings_module.Settings, replace: bool) -> None:
    if not settings.home.is_dir():
        return
    there = sorted(p.name for p in settings.home.iterdir() if p.name not in _KEPT)
    there = [name for name in there if name != settings.master_key_file.name]
    if there and not replace:
        raise errors.ConfigError(
            f"{settings.home} is not empty ({', '.join(there[:5])}): choose another KNIFY_HOME, "
            "or say --replace"
        )


def _empty_home(settings: settings_module.Settings) -> None:
    shutil.rmtree(settings.home / "redis", ignore_errors=True)
    for name in ("store.seen", "installation", "admin.key"):
        (settings.home / name).unlink(missing_ok=True)


def _put_keys(
    settings: settings_module.Settings, path: Path, head: dict[str, Any], passphrase: str | None
) -> None:
    """The master key out of the backup, or the one that the operator has put there already."""
    if head["master_key"] != "sealed":
        if not settings.master_key_file.exists():
            raise errors.ConfigError(
                f"this backup holds no master key: put yours at {settings.master_key_file} (0600) "
                "first; without it workspaces, archives, secrets and API keys open no more"
            )
        return
    if not passphrase:
        raise errors.ConfigError("its keys are sealed: give the passphrase (--passphrase-file)")
    places = {
        "master.key.age": settings.master_key_file,
        "admin.key.age": install.key_file(settings),
    }
    for name, content, _ in archive.members(path):
        if name == archive.RECORDS:
            return
        place = places.get(name.removeprefix(archive.KEYS))
        if place is not None:
            _write_private(place, _opened(content.read(), passphrase))


def _opened(data: bytes, passphrase: str) -> bytes:
    try:
        return bytes(pyrage.passphrase.decrypt(data, passphrase))
    except pyrage.DecryptError as failed:
        raise errors.ConfigError("the passphrase does not open this backup's keys") from failed


def _write_private(path: Path, data: bytes) -> None:
    if path.exists() and path.read_bytes() != data:
        path.replace(path.with_name(f"{path.name}.before-restore"))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        os.fsync(file.fileno())


@contextmanager
def _redis(settings: settings_module.Settings) -> Iterator[None]:
    """The operator's, or the private one as `knify up` starts it."""
    if settings.redis_url is not None:
        ready.wait(settings, lambda text: None, _START)
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


def _check_empty(core: Core, replace: bool) -> None:
    if next(iter(core.objects.list()), None) is not None and not replace:
        raise errors.ConfigError("the object store is not empty: say --replace to write into it")
    client = core.store.client
    if client.get(keys.INSTALLATION) is None:
        return
    if not replace:
        raise errors.ConfigError("Redis holds an installation: say --replace to put this over it")
    for key in client.scan_iter(match=f"{keys.PREFIX}*", count=1_000):
        client.unlink(key)


def _put(core: Core, path: Path) -> tuple[int, int]:
    count, objects = 0, 0
    for name, content, _ in archive.members(path):
        if name == archive.RECORDS:
            count = snapshot.write(core.store.client, _lines(content))
        elif name.startswith(archive.OBJECTS):
            core.objects.put(name.removeprefix(archive.OBJECTS), _pieces(content))
            objects += 1
    return count, objects


def _lines(content: IO[bytes]) -> Iterator[snapshot.Line]:
    with zstandard.ZstdDecompressor().stream_reader(content, closefd=False) as raw:
        for line in io.BufferedReader(raw):
            yield json.loads(line)


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(256 * 1024):
        yield piece
