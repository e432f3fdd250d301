"""An uploaded archive becomes a workspace's next version, or turns out to be its newest one.

The archive is read twice: to check it, and to write its normal form, sealed, straight into the
object store. From before the first byte there to the version's record, the object stands in the
list of those that are to go: whoever dies on the way leaves nothing for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import redis

from knify import clock, errors, ids, model
from knify.archives import entries, normalise
from knify.core import Core
from knify.objects import locate, room
from knify.services import workspaces
from knify.store.workspaces import Added

T = TypeVar("T")


class Aside(Protocol):
    """How the caller runs what takes long; there, Redis may not be spoken to."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """What `work` returns or raises."""


def upload(
    core: Core,
    tenant: str,
    name: str,
    file: BinaryIO,
    sha256: str,
    *,
    workspace_id: str | None = None,
    aside: Aside,
) -> Added:
    """Store the archive in `file`, whose own digest is `sha256`. BadRequest, TooLarge.

    `workspace_id`: what a new version is to be called; with one that exists, nothing is added.
    StorageFull when there is no room, ObjectStoreError; after any error nothing is left, or the
    sweeper removes it.
    """
    newest = core.store.workspaces.named(tenant, name)
    if newest is not None and newest.upload_sha256 == sha256 and workspaces.is_there(core, newest):
        return Added(newest, unchanged=True)
    record = _record(tenant, name, sha256, workspace_id or ids.new("workspace"))
    core.store.workspaces.begin(record.key)
    try:
        record = aside(lambda: store(core, record, file))
        return add(core, record)
    except (errors.BadRequest, errors.ObjectStoreError, redis.ResponseError):
        workspaces.remove_object(core, record.key)  # refused; it may have been stored
        raise


def store(core: Core, record: model.Workspace, file: BinaryIO) -> model.Workspace:
    """Check, normalise and seal: perhaps minutes of work, without Redis. As `upload`."""
    tar = normalise.normalise(file, entries.Limits(size=core.settings.workspace_bytes))
    core.sealed.put(record.key, room.watched(iter(tar), _places(core), core.settings.disk_reserve))
    return record.evolve(size=tar.size, files=tar.files, sha256=tar.sha256)


def add(core: Core, record: model.Workspace) -> Added:
    """Make a stored workspace known, unless it is not new. Versions that are too old go."""
    added = core.store.workspaces.add(record, gone=_gone(core, record))
    if added.workspace.key != record.key:
        workspaces.remove_object(core, record.key)
    if not added.unchanged:
        _drop_old(core, added.workspace)
    return added


def _record(tenant: str, name: str, sha256: str, workspace_id: str) -> model.Workspace:
    """What is known of it before it is read. No two attempts share an object."""
    return model.Workspace(
        id=workspace_id,
        tenant=tenant,
        name=name,
        version=0,  # the store gives the number
        size=0,
        sha256="",
        key=f"workspaces/{ids.new('files')}",
        created_at=clock.now_ms(),
        upload_sha256=sha256,
    )


def _places(core: Core) -> Iterator[Path]:
    """Folders of this machine that an upload fills."""
    yield locate.spool(core.settings)
    root = getattr(core.objects, "root", None)
    if isinstance(root, Path):
        yield root


def _gone(core: Core, record: model.Workspace) -> str:
    """The object in which the tenant should have these files, when it is not there.

    Redis may have been put back to a moment at which it still was.
    """
    same = core.store.workspaces.content(record.tenant, record.sha256)
    newest = core.store.workspaces.named(record.tenant, record.name)
    for known in (same, newest and newest.sha256 == record.sha256 and newest.key.split("/")[-1]):
        if known and not workspaces.has_object(core, f"workspaces/{known}"):
            return known
    return ""


def _drop_old(core: Core, newest: model.Workspace) -> None:
    """Those that a sandbox still has to be made from stay until a later upload."""
    keep = core.settings.workspace_versions
    for workspace_id in core.store.workspaces.old(newest.tenant, newest.name, keep=keep):
        core.store.workspaces.drop(workspace_id)  # the sweeper deletes the object
