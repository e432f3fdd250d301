"""Workspaces: named, versioned folders that jobs start from."""

from __future__ import annotations

import contextlib
import re
from pathlib import PurePosixPath
from typing import Final

import redis

from knify import conflicts, errors, model
from knify.core import Core

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SUFFIXES: Final = (".tar.gz", ".tar.zst", ".tgz", ".tar", ".zip")


def get(core: Core, tenant: str, workspace_id: str) -> model.Workspace:
    """The record; NotFound also when another tenant owns it."""
    found = core.store.workspaces.find(workspace_id)
    if found is None or found.tenant != tenant:
        raise errors.NotFound(f"no workspace {workspace_id}")
    return found


def delete(core: Core, tenant: str, workspace_id: str) -> None:
    """Remove one version for good; sandboxes made from it keep their files.

    NotFound; WorkspaceBusy with ids of jobs while some still have to begin with it.
    """
    found = get(core, tenant, workspace_id)
    dropped = core.store.workspaces.drop(found.id)
    if dropped.jobs:
        raise conflicts.WorkspaceBusy(
            "jobs still have to begin with this workspace: wait for them, or cancel them",
            detail={"jobs": list(dropped.jobs)},
        )
    if dropped.key:
        remove_object(core, dropped.key)


def remove_object(core: Core, key: str) -> None:
    """Delete an object that is on the list of those that go; else the sweeper does."""
    with contextlib.suppress(errors.ObjectStoreError, redis.RedisError):
        core.objects.delete(key)
        core.store.sandboxes.forget_object(key)


def is_there(core: Core, workspace: model.Workspace) -> bool:
    """Whether its files are in the object store."""
    return has_object(core, workspace.key)


def has_object(core: Core, key: str) -> bool:
    """The same of an object. ObjectStoreError."""
    try:
        core.objects.open(key, 0, 0).close()  # `stat` may have to hash it
    except errors.ObjectMissing:
        return False
    return True


def stem(filename: str) -> str:
    """`x` for `x.tar.gz`; what is no archive's name stays as it is."""
    base_name = PurePosixPath(filename.replace("\\", "/")).name
    found = next((s for s in _SUFFIXES if base_name.lower().endswith(s)), "")
    return base_name[: len(base_name) - len(found)]


def is_name(name: str) -> bool:
    """Whether a workspace may be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """The name itself; BadRequest when it cannot stand in `/workspaces/NAME`."""
    if not is_name(name):
        raise errors.BadRequest(
            "a workspace's name has 1 to 100 letters, digits, '.', '_' or '-' "
            "and begins with a letter or digit: give one in the field name",
            detail={"field": "name"},
        )
    return name
