"""Workspaces: named, versioned folders that jobs start from."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import BinaryIO, Final

import redis

from knify import clock, errors, ids, model
from knify.archives import entries, normalise
from knify.core import Core
from knify.objects import base, locate

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SUFFIXES: Final = (".tar.gz", ".tar.zst", ".tgz", ".tar", ".zip")


def store(core: Core, tenant: str, file: BinaryIO, name: str) -> model.Workspace:
    """Check, unpack and seal the archive: seconds of work, without Redis."""
    limits = entries.Limits(size=core.settings.workspace_bytes)
    workspace_id = ids.new("workspace")
    key = f"workspaces/{workspace_id}"
    with normalise.normalise(file, locate.spool(core.settings), limits) as tar:
        record = model.Workspace(
            id=workspace_id,
            tenant=tenant,
            name=name,
            version=0,  # the store gives the number
            size=tar.size,
            sha256=tar.sha256,
            key=key,
            created_at=clock.now_ms(),
            files=tar.files,
        )
        try:
            with tar.path.open("rb") as content:
                core.sealed.put(key, content)
        except BaseException:
            core.objects.delete(key)
            raise
    return record


def add(core: Core, record: model.Workspace) -> model.Workspace:
    """Make a stored workspace known; it now has its version. Versions that are too old go."""
    try:
        added = core.store.registry.add_workspace(record)
    except redis.ResponseError:  # refused; after a lost answer, it may well have been added
        core.objects.delete(record.key)
        raise
    _drop_old(core, added)
    return added


def _drop_old(core: Core, newest: model.Workspace) -> None:
    """Those that a sandbox still has to be made from stay until a later upload."""
    registry, keep = core.store.registry, core.settings.workspace_versions
    for workspace_id in registry.old_workspaces(newest.tenant, newest.name, keep=keep):
        registry.drop_workspace(workspace_id, unused=True)  # the sweeper deletes the object


def get(core: Core, tenant: str, workspace_id: str) -> model.Workspace:
    """The record; NotFound also when another tenant owns it."""
    found = core.store.registry.find_workspace(workspace_id)
    if found is None or found.tenant != tenant:
        raise errors.NotFound(f"no workspace {workspace_id}")
    return found


def delete(core: Core, tenant: str, workspace_id: str) -> None:
    """Remove one version for good; sandboxes made from it keep their files. NotFound."""
    found = get(core, tenant, workspace_id)
    core.store.registry.drop_workspace(found.id)
    finish(core, found.id, found.key)


def finish(core: Core, workspace_id: str, key: str) -> None:
    """Delete a dropped version's object, then the rest of its record; safe to repeat."""
    if key:
        core.objects.delete(key)
    core.store.registry.forget_workspace(workspace_id)


def open_tar(core: Core, workspace: model.Workspace) -> base.Reader:
    """Its files as one tar. ObjectMissing, ObjectStoreError."""
    return core.sealed.open(workspace.key)


def stem(filename: str) -> str:
    """`x` for `x.tar.gz`; what is no archive's name stays as it is."""
    base_name = PurePosixPath(filename.replace("\\", "/")).name
    found = next((s for s in _SUFFIXES if base_name.lower().endswith(s)), "")
    return base_name[: len(base_name) - len(found)]


def check_name(name: str) -> str:
    """The name itself; BadRequest when it cannot stand in `/workspaces/NAME`."""
    if not _NAME.fullmatch(name):
        raise errors.BadRequest(
            "a workspace's name has 1 to 100 letters, digits, '.', '_' or '-' "
            "and begins with a letter or digit: give one in the field name",
            detail={"field": "name"},
        )
    return name
