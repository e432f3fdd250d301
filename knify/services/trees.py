"""Workspaces that this node has unpacked already: a later job's sandbox gets a copy.

`$KNIFY_HOME/cache/workspaces/BOOT/` holds for each object of workspaces a folder `OBJECT` with
`tree`, which appears complete by one rename, and a file `OBJECT.lock`. Whoever copies from a tree
has the lock shared, whoever fills or removes it alone; the kernel frees it when a process dies.
What a death leaves is called `OBJECT.part`. No sandbox ever sees a tree, and none is shared by
tenants: an object belongs to one. After a reboot all is dropped: it was never forced onto the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from knify import errors, failpoints, model
from knify.core import Core
from knify.objects import base, room

_WAIT = 0.5  # seconds for another job that unpacks the same workspace: most are small
_POLL: Final = 0.05
_BLOCK: Final = 4096  # bytes that an entry takes beside its content


class Trees:
    """The trees of one node; all of its workers share them."""

    def __init__(self, core: Core, boot: str) -> None:
        """Nothing is made yet."""
        self._core = core
        self._boot = boot

    @property
    def _root(self) -> Path:
        return self._core.settings.home / "cache" / "workspaces" / self._boot

    @property
    def _most(self) -> int:
        return self._core.settings.workspace_cache_bytes

    @contextlib.contextmanager
    def tree(self, workspace: model.Workspace) -> Iterator[Path | None]:
        """Its files as a folder to copy from; None when it does not fit here.

        ObjectMissing, ObjectStoreError; NodeBusy while another job takes long to unpack it: whoever
        waited here would keep a thread from those who could go on.
        """
        if _cost(workspace) > self._most:
            yield None
            return
        name = workspace.key.rpartition("/")[2]
        with self._held(name, workspace) as there:
            yield self._root / name / "tree" if there else None

    def tidy(self) -> None:
        """Drop the trees of workspaces that were deleted, and what other boots and deaths left."""
        if not self._root.parent.is_dir():
            return
        for other in self._root.parent.iterdir():
            if other != self._root:
                shutil.rmtree(other, ignore_errors=True)
        names = self._names()
        known = self._core.store.retention.known("w", names)
        for name, needed in zip(names, known, strict=True):
            part = (self._root / f"{name}.part").exists()
            if part or not needed:
                self._remove(name, whole=not needed)

    @contextlib.contextmanager
    def _held(self, name: str, workspace: model.Workspace) -> Iterator[bool]:
        """With the lock shared and the tree there; False without room. NodeBusy."""
        deadline = time.monotonic() + _WAIT
        while True:
            with self._lock(name, fcntl.LOCK_SH) as got:
                if got and (self._root / name).is_dir():
                    (self._root / name).touch()  # used last: removed last
                    yield True
                    return
            with self._lock(name, fcntl.LOCK_EX) as got:
                if got and not (self._root / name).is_dir() and not self._fill(name, workspace):
                    break
            if not got and time.monotonic() > deadline:
                raise errors.NodeBusy(f"another job unpacks {workspace.key} here")
            time.sleep(0 if got else _POLL)
        yield False

    @contextlib.contextmanager
    def _lock(self, name: str, how: int) -> Iterator[bool]:
        """Whether it is ours now; never waits."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._root / f"{name}.lock"
        with path.open("ab") as file:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield _is_at(file.fileno(), path)  # else it was removed before we had it

    def _fill(self, name: str, workspace: model.Workspace) -> bool:
        """Unpack it; False when there is no room. The lock is ours alone."""
        part = self._root / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        self._make_room(_cost(workspace))
        try:
            room.require([self._root], _cost(workspace), self._core.settings.disk_reserve)
            part.mkdir(mode=0o700)
            self._unpack(workspace, part / "tree")
        except tarfile.TarError as failed:
            shutil.rmtree(part, ignore_errors=True)
            raise errors.ObjectStoreError(f"{workspace.key} holds no tar") from failed
        except (errors.StorageFull, OSError):
            shutil.rmtree(part, ignore_errors=True)
            return False
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        (part / "cost").write_text(str(_cost(workspace)))
        failpoints.hit("cache.publish", "before")
        part.rename(self._root / name)
        failpoints.hit("cache.publish", "after")
        return True

    def _unpack(self, workspace: model.Workspace, tree: Path) -> None:
        tree.mkdir(mode=0o755)
        with self._core.sealed.open(workspace.key) as reader:
            source = _Hashed(reader)
            with tarfile.open(fileobj=cast(BinaryIO, source), mode="r|") as tar:
                # The normal form, sealed by us; each member is looked at once more.
                # Python 3.11 has filters from 3.11.4 on; Debian 12's does without the same.
                tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
                tar.extractall(tree, _members(tar))  # noqa: S202
            while source.read(base.CHUNK):
                pass
        if source.sha256 != workspace.sha256:
            raise errors.ObjectStoreError(f"{workspace.key} is not what was uploaded")

    def _make_room(self, size: int) -> None:
        """Remove what was not used for the longest time, unless it is in use."""
        costs = {name: self._cost(name) for name in self._names()}
        total = sum(costs.values())
        for name in sorted(costs, key=self._used):
            if total + size <= self._most:
                return
            if self._remove(name, whole=True):
                total -= costs[name]

    def _remove(self, name: str, *, whole: bool) -> bool:
        """Remove a tree (or only what is half made of it) that nobody uses; whether it is gone."""
        with self._lock(name, fcntl.LOCK_EX) as got:
            if not got:
                return False
            part = self._root / f"{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            if whole:
                with contextlib.suppress(FileNotFoundError):
                    (self._root / name).rename(part)  # never seen half removed
                failpoints.hit("cache.evict", "before")
                shutil.rmtree(part, ignore_errors=True)
                failpoints.hit("cache.evict", "after")
                (self._root / f"{name}.lock").unlink(missing_ok=True)
        return True

    def _names(self) -> list[str]:
        """All that have a lock."""
        return sorted(path.stem for path in self._root.glob("*.lock"))

    def _cost(self, name: str) -> int:
        try:
            return int((self._root / name / "cost").read_text())
        except (OSError, ValueError):
            return 0

    def _used(self, name: str) -> float:
        try:
            return (self._root / name).stat().st_mtime
        except OSError:
            return 0.0


class _Hashed:
    """Passes a tar on and hashes it."""

    def __init__(self, reader: base.Reader) -> None:
        self._reader = reader
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        piece = self._reader.read(size)
        self._hash.update(piece)
        return piece


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """What the normal form may hold; all becomes this process's own."""
    for info in tar:
        if not (info.isreg() or info.isdir() or info.issym()) or ".." in info.name.split("/"):
            raise errors.ObjectStoreError(f"a workspace holds {info.name[:100]!a}")
        info.uid, info.gid, info.uname, info.gname = os.getuid(), os.getgid(), "", ""
        yield info
        tar.members = []  # type: ignore[attr-defined]  # else it remembers all of them


def _cost(workspace: model.Workspace) -> int:
    return workspace.size + _BLOCK * (workspace.files + 1)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
