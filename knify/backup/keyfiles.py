"""The keys of a backup, as files again: nothing is lost that stood in their places."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import Any

import pyrage

from knify import durable, errors, install
from knify import settings as settings_module
from knify.backup import archive

Found = dict[Path, bytes]  # what is to stand where


def opened(
    settings: settings_module.Settings, path: Path, head: dict[str, Any], passphrase: str | None
) -> Found:
    """The keys in a backup; none when the operator has put the master key there. ConfigError."""
    place = settings.master_key_file
    if head["master_key"] != "sealed":
        if not place.exists():
            raise errors.ConfigError(
                f"this backup holds no master key: put yours at {place} (0600) "
                "first; without it workspaces, archives, secrets and API keys open no more"
            )
        return {}
    if not passphrase:
        raise errors.ConfigError("its keys are sealed: give the passphrase (--passphrase-file)")
    places = {"master.key.age": place, "admin.key.age": install.key_file(settings)}
    found: Found = {}
    for name, content, _ in archive.members(path):
        if name == archive.RECORDS:
            break
        known = places.get(name.removeprefix(archive.KEYS))
        if known is not None:
            found[known] = _unsealed(content.read(), passphrase)
    if place not in found:
        raise errors.ConfigError(f"{path} says that it holds a master key, but it does not")
    return found


def _unsealed(data: bytes, passphrase: str) -> bytes:
    try:
        return bytes(pyrage.passphrase.decrypt(data, passphrase))
    except pyrage.DecryptError as failed:
        raise errors.ConfigError("the passphrase does not open this backup's keys") from failed


def check(found: Found) -> None:
    """ConfigError when another key stands in the place of one."""
    for path, data in found.items():
        if path.exists() and path.read_bytes() != data:
            raise errors.ConfigError(
                f"{path} holds another key than the backup: move it away, or say --replace, "
                f"which keeps it as {path.name}.before-restore"
            )


def put(found: Found) -> None:
    """Write them; another key that stands there is kept beside, under a name of its own."""
    for path, data in found.items():
        if path.exists() and path.read_bytes() != data:
            _keep(path)
        write(path, data)


def _keep(path: Path) -> None:
    old = path.read_bytes()
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.before-restore{f'.{number}' if number > 1 else ''}")
        try:
            os.link(path, aside)  # takes no name that is there
            return
        except FileExistsError:
            if aside.read_bytes() == old:  # of a restore that died behind this line
                return


def write(path: Path, data: bytes) -> None:
    """A private file that is there wholly or not at all, whatever dies."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            durable.settle(file, path.parent)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    durable.sync(path.parent)
