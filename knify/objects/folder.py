"""Objects as plain files below one folder: `file:///…`, the embedded default.

A file is written as a temporary one, synced, then renamed; its SHA-256 travels as an extended
attribute (where the file system has none, `stat` reads the file).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from knify import durable, errors
from knify.objects import base

STALE_SECONDS = 86_400  # a temporary file this old belongs to a process that died

_TEMPORARY = "~tmp"  # no key can name it: `~` is not a key's character
_CHECKSUM = "user.knify.sha256"
_RACES = 100  # times that a folder may vanish between its making and its use


class Folder:
    """An object store in the folder `root`, which is made when it is missing."""

    def __init__(self, root: Path) -> None:
        """Also removes what writers that died left behind more than a day ago."""
        self.root = root
        self._temporary = root / _TEMPORARY
        with _translated():
            self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = _owner(root)
            _hand_over(self._temporary, self._owner)
            sweep(self._temporary)

    def put(self, key: str, chunks: base.Chunks) -> base.Stored:
        """See ObjectStore."""
        with self._writing(key) as sink:
            for piece in base.chunks_of(chunks):
                sink.write(piece)
        return sink.stored(key)

    def writing(self, key: str) -> AbstractContextManager[base.Sink]:
        """See ObjectStore."""
        return self._writing(key)

    @contextlib.contextmanager
    def _writing(self, key: str) -> Iterator[_Sink]:
        path = self._path(key)
        with _translated():
            file = _Unpublished(self._temporary)
            _hand_over(file.descriptor, self._owner)
        try:
            sink = _Sink(file.descriptor)
            yield sink
            with _translated():
                _remember(file.descriptor, sink.stored(key).sha256)
                os.fsync(file.descriptor)
                self._publish(file.named(), path)
        finally:
            file.close()

    def open(self, key: str, start: int = 0, end: int | None = None) -> base.Reader:
        """See ObjectStore."""
        with _translated(key):
            file = self._path(key).open("rb")
        try:
            with _translated(key):
                first, behind = base.clip(os.fstat(file.fileno()).st_size, start, end)
                file.seek(first)
        except BaseException:
            file.close()
            raise
        return base.Reader(file, behind - first, _translated)

    def stat(self, key: str) -> base.Stat:
        """See ObjectStore."""
        with _translated(key), self._path(key).open("rb") as file:
            facts = os.fstat(file.fileno())
            checksum = _recall(file.fileno()) or hashlib.file_digest(file, "sha256").hexdigest()
        return base.Stat(key, facts.st_size, checksum, facts.st_mtime_ns // 1_000_000)

    def list(self, prefix: str = "") -> Iterator[base.Listed]:
        """See ObjectStore; what comes or goes meanwhile may or may not be listed."""
        below = base.check_prefix(prefix)
        yield from self._walk(self.root / below, f"{below}/" if below else "")

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        path = self._path(key)
        with _translated(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            self._prune(path.parent)

    def delete_prefix(self, prefix: str) -> int:
        """See ObjectStore."""
        count = 0
        for listed in self.list(base.check_key(prefix.removesuffix("/"))):
            self.delete(listed.key)
            count += 1
        return count

    def check(self) -> None:
        """See ObjectStore: the folder is there, writable, and its disk is not full."""
        with _translated():
            space = os.statvfs(self._temporary)
        if not os.access(self._temporary, os.W_OK | os.X_OK):
            raise errors.ObjectStoreError(f"the object store {self.root} cannot be written")
        if space.f_bavail == 0:
            raise errors.ObjectStoreError(f"the disk of the object store {self.root} is full")

    def _path(self, key: str) -> Path:
        return self.root / base.check_key(key)

    def _publish(self, temporary: Path, path: Path) -> None:
        """Rename into place; a `delete` may prune the folder just made, so try again."""
        for _ in range(_RACES):
            self._make_folder(path.parent)
            with contextlib.suppress(FileNotFoundError):
                temporary.replace(path)
                durable.sync(path.parent)
                return
        raise errors.ObjectStoreError(f"the folder {path.parent} keeps vanishing")

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            folder.mkdir(mode=0o700)
            _hand_over(folder, self._owner)
            durable.sync(folder.parent)

    def _prune(self, folder: Path) -> None:
        """Remove the folders that a deletion left empty."""
        while folder != self.root:
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                return  # not empty
            folder = folder.parent

    def _walk(self, folder: Path, prefix: str) -> Iterator[base.Listed]:
        for name in _names(folder):
            if name.endswith("/"):
                yield from self._walk(folder / name, prefix + name)
                continue
            with contextlib.suppress(errors.ObjectMissing):
                yield _listed(folder / name, prefix + name)


class _Sink:
    """See `base.Sink`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._tally = base.Tally()
        self.stored = self._tally.stored

    def write(self, data: bytes, /) -> int:
        _write(self._descriptor, self._tally.add(data))
        return len(data)

    def flush(self) -> None:
        pass


class _Unpublished:
    """A new file that has no name until it is whole, so that a death on the way leaves nothing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / uuid.uuid4().hex
        self._has_name = False
        try:
            self.descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError as failed:
            if failed.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            self.descriptor, name = tempfile.mkstemp(dir=folder)  # such as NFS
            self._path, self._has_name = Path(name), True

    def named(self) -> Path:
        """Its path from now on."""
        if not self._has_name:
            os.link(  # a descriptor of a folder, any, makes it follow the link of /proc
                f"/proc/self/fd/{self.descriptor}",
                self._path,
                src_dir_fd=self.descriptor,
                follow_symlinks=True,
            )
            self._has_name = True
        return self._path

    def close(self) -> None:
        """Gone, unless it was renamed; what cannot be removed now, `sweep` finds."""
        os.close(self.descriptor)
        if self._has_name:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def _owner(root: Path) -> tuple[int, int] | None:
    """Whose the store is, if a worker, which is root, may share it with parts that are not."""
    facts = root.stat()
    return (facts.st_uid, facts.st_gid) if os.geteuid() == 0 and facts.st_uid != 0 else None


def _hand_over(what: Path | int, owner: tuple[int, int] | None) -> None:
    if owner is not None:
        os.chown(what, *owner)


def sweep(temporary: Path) -> None:
    """Remove the files directly in this folder that nobody wrote to for a day."""
    before = time.time() - STALE_SECONDS
    for path in temporary.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()


def _names(folder: Path) -> list[str]:
    """The names in it, those of folders with a slash."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name + "/" if e.is_dir(follow_symlinks=False) else e.name for e in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as failed:
        raise _error(failed) from failed
    return sorted(name for name in names if name != f"{_TEMPORARY}/")


def _listed(path: Path, key: str) -> base.Listed:
    with _translated(key):
        facts = path.stat()
    return base.Listed(key, facts.st_size, facts.st_mtime_ns // 1_000_000)


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    with _translated():
        while view:
            view = view[os.write(descriptor, view) :]


def _remember(descriptor: int, checksum: str) -> None:
    try:
        os.setxattr(descriptor, _CHECKSUM, checksum.encode())
    except OSError as failed:
        if failed.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENOSYS):
            raise


def _recall(descriptor: int) -> str | None:
    try:
        return os.getxattr(descriptor, _CHECKSUM).decode()
    except OSError:
        return None


@contextlib.contextmanager
def _translated(key: str | None = None) -> Iterator[None]:
    """Own file errors become the tree's; with a `key`, a missing file is a missing object."""
    try:
        yield
    except OSError as failed:
        if key is not None and isinstance(
            failed, FileNotFoundError | NotADirectoryError | IsADirectoryError
        ):
            raise errors.ObjectMissing(f"no object {key}") from failed
        raise _error(failed) from failed


def _error(failed: OSError) -> errors.ObjectStoreError:
    if failed.errno in base.FULL:
        return errors.StorageFull(f"the disk of the object store is full: {failed}")
    return errors.ObjectStoreError(f"the object store's folder failed: {failed}")
