"""Room on a disk, looked at while something is written whose size nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify import errors
from knify.objects import folder, room


def test_what_grows_beyond_the_reserve_is_stopped_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [1000]
    monkeypatch.setattr(room, "free", lambda _: left[0])
    look = room.Look([tmp_path], 500)
    look.before(room._EVERY)
    left[0] = 499

    with pytest.raises(errors.StorageFull):
        look.before(1)


def test_whether_an_object_is_there_is_known_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = folder.Folder(tmp_path)
    store.put("a/b", [b"x"])
    monkeypatch.setattr(folder, "_recall", lambda _: pytest.fail("asks for its checksum"))

    store.open("a/b", 0, 0).close()

    with pytest.raises(errors.ObjectMissing):
        store.open("a/c", 0, 0)
