"""What every object store does; runs on the folder and on a real S3 server."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator

import pytest

from knify import errors
from knify.objects import base

LARGE = 20 * 1024**2 + 7  # bytes: more than two parts of an upload


def test_what_was_put_comes_back(store: base.ObjectStore) -> None:
    stored = store.put("a/b.txt", [b"hel", b"", b"lo"])

    assert stored == base.Stored("a/b.txt", 5, hashlib.sha256(b"hello").hexdigest())
    with store.open("a/b.txt") as reader:
        assert reader.size == 5
        assert reader.read(2) == b"he"
        assert reader.read() == b"llo"
        assert reader.read() == b""


def test_a_large_object_of_unknown_length_streams_both_ways(store: base.ObjectStore) -> None:
    piece = os.urandom(1024**2)
    expected = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        left = LARGE
        while left:
            part = piece[: min(left, len(piece))]
            expected.update(part)
            left -= len(part)
            yield part

    stored = store.put("large", pieces())
    seen = hashlib.sha256()
    for part in store.open("large"):
        assert len(part) <= base.CHUNK
        seen.update(part)

    assert stored.size == LARGE
    assert stored.sha256 == expected.hexdigest() == seen.hexdigest()
    assert store.stat("large").sha256 == stored.sha256


def test_an_open_file_is_stored_from_where_it_stands(store: base.ObjectStore) -> None:
    file = io.BytesIO(b"skip\nline\nline\n")
    file.readline()

    assert store.put("lines", file).size == 10
    assert store.open("lines").read() == b"line\nline\n"


def test_an_empty_object_is_an_object(store: base.ObjectStore) -> None:
    store.put("empty", [])

    assert store.open("empty").read() == b""
    assert list(store.open("empty", 0, 10)) == []
    assert store.stat("empty").size == 0


def test_stat_knows_size_checksum_and_age(store: base.ObjectStore) -> None:
    store.put("x", [b"12345"])

    stat = store.stat("x")

    assert (stat.key, stat.size) == ("x", 5)
    assert stat.sha256 == hashlib.sha256(b"12345").hexdigest()
    assert stat.modified_at > 1_700_000_000_000


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (0, 1, b"0"),
        (2, 5, b"234"),
        (9, 100, b"9"),
        (4, 4, b""),
        (10, None, b""),
        (50, 60, b""),
    ],
)
def test_a_range_is_clipped_to_the_object(
    store: base.ObjectStore, start: int, end: int | None, expected: bytes
) -> None:
    store.put("digits", [b"0123456789"])

    reader = store.open("digits", start, end)

    assert reader.size == len(expected)
    assert reader.read() == expected


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4)])
def test_a_senseless_range_is_refused(store: base.ObjectStore, start: int, end: int | None) -> None:
    store.put("digits", [b"0123456789"])

    with pytest.raises(errors.BadRequest):
        store.open("digits", start, end)


def test_a_missing_object_is_said_to_be_missing(store: base.ObjectStore) -> None:
    store.put("folder/file", [b"x"])

    for key in ("nothing", "folder", "folder/file2", "folder/file/below"):
        with pytest.raises(errors.ObjectMissing):
            store.stat(key)
        with pytest.raises(errors.ObjectMissing):
            store.open(key)
        with pytest.raises(errors.ObjectMissing):
            store.open(key, 3, 3)


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_put_that_fails_half_way_leaves_nothing(store: base.ObjectStore, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(size)
        raise RuntimeError("the sandbox went away")

    with pytest.raises(RuntimeError, match="went away"):
        store.put("half", pieces())

    assert list(store.list()) == []
    with pytest.raises(errors.ObjectMissing):
        store.stat("half")


def test_a_failed_overwrite_keeps_the_old_object(store: base.ObjectStore) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError

    store.put("x", [b"old"])
    with pytest.raises(RuntimeError):
        store.put("x", pieces())

    assert store.open("x").read() == b"old"


def test_a_put_replaces_and_an_open_reader_keeps_what_it_began(store: base.ObjectStore) -> None:
    store.put("x", [b"old"])
    reader = store.open("x")

    store.put("x", [b"newer"])

    assert reader.read() == b"old"
    assert store.open("x").read() == b"newer"
    assert store.stat("x").sha256 == hashlib.sha256(b"newer").hexdigest()


def test_a_listing_takes_whole_segments_only(store: base.ObjectStore) -> None:
    keys = ["a-b", "a.b", "a/b", "a/b.c/d", "a/c", "ab/c", "b"]
    for key in reversed(keys):
        store.put(key, [key.encode()])

    assert sorted(row.key for row in store.list()) == sorted(keys)
    assert {(row.key, row.size) for row in store.list("a")} == {
        ("a/b", 3),
        ("a/b.c/d", 7),
        ("a/c", 3),
    }
    assert [row.key for row in store.list("a/b.c/")] == ["a/b.c/d"]
    assert list(store.list("nothing")) == []


def test_delete_is_idempotent(store: base.ObjectStore) -> None:
    store.put("a/b/c", [b"x"])

    store.delete("a/b/c")
    store.delete("a/b/c")
    store.delete("never/was")

    assert list(store.list()) == []


def test_deleting_a_folder_spares_its_neighbours(store: base.ObjectStore) -> None:
    for key in ("job/1", "job/2/3", "job2", "jo/b"):
        store.put(key, [b"x"])

    assert store.delete_prefix("job") == 2
    assert store.delete_prefix("job/") == 0

    assert sorted(row.key for row in store.list()) == ["jo/b", "job2"]


@pytest.mark.parametrize(
    "key",
    ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "./a", "a b", "a\n", "é", "a\\b", "~tmp/x",
     "a/%2e", "x" * 201, "/".join(["abcdefghi"] * 91)],
)  # fmt: skip
def test_a_key_outside_the_alphabet_is_refused(store: base.ObjectStore, key: str) -> None:
    for use in (store.open, store.stat, store.delete, lambda k: store.put(k, [])):
        with pytest.raises(errors.BadRequest):
            use(key)


def test_everything_is_never_deleted_at_once(store: base.ObjectStore) -> None:
    store.put("x", [b"x"])

    for prefix in ("", "/"):
        with pytest.raises(errors.BadRequest):
            store.delete_prefix(prefix)

    assert store.stat("x").size == 1


def test_writers_of_one_key_never_mix(store: base.ObjectStore) -> None:
    def write(letter: bytes) -> None:
        for _ in range(5):
            store.put("shared/key", [letter * 50_000] * 4)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        threads[0].join(0.01)
        try:
            seen = store.open("shared/key").read()
        except errors.ObjectMissing:
            continue
        assert seen in (b"a" * 200_000, b"b" * 200_000, b"c" * 200_000)

    assert [row.key for row in store.list()] == ["shared/key"]


def test_a_healthy_store_checks_out(store: base.ObjectStore) -> None:
    store.check()
