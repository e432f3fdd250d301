"""The installation's master key: a file with age identities, made once, readable by its owner."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pyrage

from knify import clock, durable, errors

Identity = Any  # pyrage.x25519.Identity; the library has no types

_SECRET = "AGE-SECRET-KEY-"  # noqa: S105  (how each identity's line begins)


def load_or_make(path: Path) -> list[Identity]:
    """The file's identities, newest first; ConfigError when it cannot be read or used.

    To rotate, put a new identity on top: it seals from then on, the others still open.
    """
    try:
        if not path.exists():
            _make(path)
        return _load(path)
    except OSError as failed:
        raise errors.ConfigError(f"the master key {path} cannot be read: {failed}") from failed


def _load(path: Path) -> list[Identity]:
    if path.stat().st_mode & 0o007:
        raise errors.ConfigError(f"everybody can reach the master key: run chmod 600 {path}")
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if _is_key(line)]
    except pyrage.IdentityError:
        found = []  # its text may hold the key, so it is not shown
    if not found:
        raise errors.ConfigError(f"the master key {path} holds no usable age identity")
    return found


def _is_key(line: str) -> bool:
    return line.startswith(_SECRET)


def _make(path: Path) -> None:
    """Of several processes that come here at once, the first to link its file wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = pyrage.x25519.Identity.generate()
    text = f"# Knify master key, made {clock.rfc3339(clock.now_ms())}; keep it with your backups\n"
    text += f"# public key: {identity.to_public()}\n{identity}\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".master-") as file:  # 0600
        file.write(text)
        durable.settle(file, path.parent)
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
    durable.sync(path.parent)
