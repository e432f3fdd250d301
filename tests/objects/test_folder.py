from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from knify import errors
from knify.objects import folder
from tests.parts import disk


def test_temporary_files_older_than_a_day_are_swept_at_open(tmp_path: Path) -> None:
    folder.Folder(tmp_path)
    old, young = tmp_path / "~tmp/old", tmp_path / "~tmp/young"
    old.touch()
    young.touch()
    os.utime(old, (1, 1))

    folder.Folder(tmp_path)

    assert not old.exists()
    assert young.exists()


def test_objects_are_plain_private_files(tmp_path: Path) -> None:
    folder.Folder(tmp_path).put("a/b", [b"plain"])

    assert (tmp_path / "a/b").read_bytes() == b"plain"
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_deleting_the_last_object_removes_its_folders(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path)
    store.put("a/b/c/d", [b"x"])
    store.put("a/e", [b"x"])

    store.delete("a/b/c/d")

    assert not (tmp_path / "a/b").exists()
    assert (tmp_path / "a/e").exists()


def test_a_put_survives_a_delete_that_prunes_its_folder(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path)
    stop = threading.Event()

    def prune() -> None:
        while not stop.is_set():
            store.delete("a/b/other")

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for _ in range(100):
            store.put("a/b/mine", [b"x"])
            assert store.open("a/b/mine").read() == b"x"
            store.delete("a/b/mine")
    finally:
        stop.set()
        thread.join()


def test_a_checksum_lost_by_a_copy_is_computed_again(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path)
    (tmp_path / "restored").write_bytes(b"from a backup")

    assert store.stat("restored").sha256 == hashlib.sha256(b"from a backup").hexdigest()


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path)
    store.put("x", [bytes(100)])
    reader = store.open("x")
    os.truncate(tmp_path / "x", 10)

    with pytest.raises(errors.ObjectStoreError, match="ended 90 bytes early"):
        reader.read()


def test_a_key_below_an_object_is_an_error_not_a_crash(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path)
    store.put("a", [b"x"])

    with pytest.raises(errors.ObjectStoreError):
        store.put("a/b", [b"x"])

    assert list((tmp_path / "~tmp").iterdir()) == []


def test_a_lost_folder_fails_the_check(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path / "objects")
    (tmp_path / "objects/~tmp").rmdir()

    with pytest.raises(errors.ObjectStoreError):
        store.check()


def test_a_root_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(errors.ObjectStoreError, match="folder failed"):
        folder.Folder(tmp_path / "file")


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    store = folder.Folder(tmp_path)

    with disk.full_at(100_000), pytest.raises(errors.ObjectStoreError):
        store.put("x", [bytes(200_000)])

    assert list(store.list()) == []
    assert list((tmp_path / "~tmp").iterdir()) == []


def test_a_disk_that_becomes_read_only_in_the_last_moment_is_the_stores_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = folder.Folder(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.raises(errors.ObjectStoreError, match="Read-only"):
        store.put("a", [b"x"])
