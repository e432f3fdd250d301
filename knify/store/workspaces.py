"""Workspace versions, and the objects that hold their files: equal ones of a tenant share one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from knify import model
from knify.store import codec, keys, workspacekeys
from knify.store.redis import Client, Scripts, changes, now_ms, pairs

#: Until an object that no version names is deleted. An upload that takes longer is refused.
UPLOAD_MS: Final = 6 * 3_600_000
_SHOWN = 20  # ids of jobs
_AT_ONCE: Final = 1_000  # look-ups of one round trip


@dataclass(frozen=True, slots=True)
class Added:
    """What became of an upload."""

    workspace: model.Workspace
    unchanged: bool  # nothing was added: this is the newest version, and it has these files


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of a deletion."""

    key: str = ""  # of an object that is to go, which no other version needs
    jobs: tuple[str, ...] = ()  # of those that still have to begin with it: it stays


@dataclass(frozen=True, slots=True)
class Named:
    """All versions of one name."""

    newest: model.Workspace
    versions: int  # how many there are


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    workspaces: list[model.Workspace]
    total: int  # in the whole list


class Workspaces:
    """The records of all tenants' workspaces."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def begin(self, key: str) -> None:
        """Say that this object is being stored: unless a version comes to name it, it goes."""
        self._client.zadd(keys.OBJECT_REMOVALS, {key: now_ms(self._client) + UPLOAD_MS})

    def add(self, workspace: model.Workspace, *, gone: str = "") -> Added:
        """Add it as the next version of its name, unless the newest one has the same files.

        The answer's `key` is another one when the tenant has these files already; then its own
        object is in the list of those that go. `gone`: the object (its id) that the tenant was
        thought to have them in. ObjectStoreError when it began too long ago.
        """
        fields = codec.record_fields(workspace)
        verdict, flat = self._scripts.call("add_workspace", workspace.id, changes(fields), gone)
        return Added(codec.workspace(pairs(flat)), verdict == "unchanged")

    def find(self, workspace_id: str) -> model.Workspace | None:
        """The record, or None."""
        return self._read([workspace_id])[0]

    def named(self, tenant: str, name: str, version: int | None = None) -> model.Workspace | None:
        """One version of a name, the newest for None; None when there is no such one."""
        index = workspacekeys.workspaces(tenant, name)
        if version is None:
            found = self._client.zrevrange(index, 0, 0)
        else:
            found = self._client.zrangebyscore(index, version, version)
        return self.find(found[0]) if found else None

    def content(self, tenant: str, sha256: str) -> str | None:
        """The id in the key of the object that has a tenant's files of this digest."""
        found = self._client.hget(workspacekeys.workspace_contents(tenant), sha256)
        return None if found is None else str(found)

    def page(
        self, tenant: str, *, name: str | None = None, offset: int = 0, limit: int = 100
    ) -> Page:
        """A tenant's versions, newest first: all, or those of one name."""
        index = workspacekeys.workspaces(tenant, name)
        pipe = self._client.pipeline(transaction=True)
        pipe.zrevrange(index, offset, offset + limit - 1)
        pipe.zcard(index)
        found, total = pipe.execute()
        return Page([one for one in self._read(found) if one], int(total))

    def names(
        self, tenant: str, *, like: str = "", offset: int = 0, limit: int = 100
    ) -> tuple[list[Named], int]:
        """Some of the names whose text holds `like`, newest first, and how many those are.

        One short look-up for each version that the tenant has.
        """
        versions: dict[str, list[str]] = {}
        for workspace_id, name in self._every(tenant):
            if like.lower() in name.lower():
                versions.setdefault(name, []).append(workspace_id)
        wanted = list(versions.values())[offset : offset + limit]
        newest = self._read([ids[0] for ids in wanted])
        found = [Named(w, len(ids)) for w, ids in zip(newest, wanted, strict=True) if w]
        return found, len(versions)

    def users(self, workspace_ids: Sequence[str]) -> list[list[str]]:
        """For each, the sandboxes that still have to be made from it."""
        pipe = self._client.pipeline(transaction=False)
        for workspace_id in workspace_ids:
            pipe.smembers(workspacekeys.workspace_users(workspace_id))
        return [sorted(found) for found in pipe.execute()] if workspace_ids else []

    def old(self, tenant: str, name: str, *, keep: int) -> list[str]:
        """The versions of a name beyond the newest `keep`."""
        return list(self._client.zrange(workspacekeys.workspaces(tenant, name), 0, -1 - keep))

    def drop(self, workspace_id: str) -> Dropped:
        """Take one version out, unless jobs wait for it; the numbers of the others stay."""
        verdict, *rest = self._scripts.call("drop_workspace", workspace_id, _SHOWN)
        if verdict == "used":
            return Dropped(jobs=tuple(rest))
        return Dropped(key=rest[0] if rest else "")

    def _every(self, tenant: str) -> Iterator[tuple[str, str]]:
        """(id, name) of each version, newest first."""
        ids = self._client.zrevrange(workspacekeys.workspaces(tenant), 0, -1)
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            pipe = self._client.pipeline(transaction=False)
            for workspace_id in some:
                pipe.hget(workspacekeys.workspace(workspace_id), "name")
            yield from ((i, name) for i, name in zip(some, pipe.execute(), strict=True) if name)

    def _read(self, ids: Sequence[str]) -> list[model.Workspace | None]:
        pipe = self._client.pipeline(transaction=False)
        for workspace_id in ids:
            pipe.hgetall(workspacekeys.workspace(workspace_id))
        rows = pipe.execute() if ids else []
        return [codec.workspace(fields) if fields else None for fields in rows]
