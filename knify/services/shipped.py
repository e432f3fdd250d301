"""The testing workspace that comes with Knify: each tenant gets its own when it is first used."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import tarfile
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import Final

from knify import model
from knify.core import Core
from knify.services import uploads

NAME: Final = "e2e-tests"
_STAMP: Final = 1_767_225_600  # the same archive each time: equal ones are kept once


def make(core: Core, tenant: str) -> model.Workspace:
    """Add it to the tenant's workspaces; two who do that at once get the same one.

    ObjectStoreError, StorageFull.
    """
    data = archive()
    digest = hashlib.sha256(data).hexdigest()
    # Some kilobytes: quicker made here than handed to a thread.
    added = uploads.upload(core, tenant, NAME, io.BytesIO(data), digest, aside=lambda work: work())
    return added.workspace


def archive() -> bytes:
    """All of it as a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, data in sorted(_files(importlib.resources.files("knify.e2e") / "workspace", "")):
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(data), _STAMP
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.name == "__pycache__":
            continue
        if item.is_dir():
            yield from _files(item, f"{prefix}{item.name}/")
        else:
            yield f"{prefix}{item.name}", item.read_bytes()
