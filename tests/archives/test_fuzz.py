"""Whatever is uploaded, only BadRequest (TooLarge is one) comes out, and nothing stays behind."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

import hypothesis
import hypothesis.strategies as st

from knify import errors
from knify.archives import entries, normalise
from tests.archives import packing

LIMITS = entries.Limits(entries=50, size=100_000)
BASES = [
    packing.tar(("a", b"x" * 600), packing.link("b/l", "../a"), ("d" * 150 + "/é", b"y")),
    packing.tar(("a", b"x"), ("d" * 150, b"y"), format=tarfile.GNU_FORMAT),
    packing.packed(packing.tar(("a", b"x" * 600)), "tar.gz"),
    packing.packed(packing.tar(("a", b"x" * 600)), "tar.zst"),
    packing.zipped(("a", b"x" * 600), ("b/c", b"y"), (packing.zip_info("l", 0o120777), b"a")),
]

edits = st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=8)), max_size=6)
names = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["a", "a/b", "a/../b", "/a", ".", "..", "", "a//b", "./a/", "l/x", "l"]
)
targets = names | st.lists(
    st.sampled_from(["..", ".", "a", "b", "l", "x"]), min_size=1, max_size=5
).map("/".join)  # fmt: skip
links = st.tuples(
    st.sampled_from(["l", "a/l", "a/b/l", "a/b/x", "x"]), st.just(tarfile.SYMTYPE), targets
)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


def _try(content: bytes) -> None:
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as tar:
        file.write(content)  # a real file: it refuses odd seeks in its own way
        try:
            tar.writelines(normalise.normalise(cast(BinaryIO, file), LIMITS))
        except errors.BadRequest as refused:
            assert refused.message.isprintable()
            return
        tar.seek(0)
        _check(cast(BinaryIO, tar))


def _check(tar: BinaryIO) -> None:
    """Even unpacked by a reader that trusts everything, all of it stays inside."""
    with tarfile.open(fileobj=tar, mode="r:") as archive, tempfile.TemporaryDirectory() as target:
        for info in archive.getmembers():
            assert info.isreg() or info.isdir() or info.issym()
        archive.extractall(target, filter="fully_trusted")
        root = Path(target).resolve()
        for name in archive.getnames():
            real = os.path.realpath(root / name)  # not Path.resolve: links may form a loop
            assert Path(real).is_relative_to(root), name


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(base=st.sampled_from(BASES), edits=edits, cut=st.none() | st.integers(0, 4000))
def test_damaged_archives(base: bytes, edits: list[tuple[int, bytes]], cut: int | None) -> None:
    content = bytearray(base)
    for where, what in edits:
        place = where % len(content)
        content[place : place + len(what)] = what

    _try(bytes(content[:cut]))


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(place=st.integers(0, 511), what=st.binary(min_size=1, max_size=16))
def test_damaged_tar_headers_with_a_right_checksum(place: int, what: bytes) -> None:
    content = bytearray(BASES[0])
    content[place : place + len(what)] = what
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])

    _try(bytes(content))


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(members=st.lists(st.tuples(names, kinds, targets) | links, max_size=6))
def test_hostile_trees(members: list[tuple[str, bytes, str]]) -> None:
    _try(packing.tar(*(packing.special(name, kind, target) for name, kind, target in members)))


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(data=st.binary(max_size=3_000), magic=st.sampled_from(
    [b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PK\x05\x06"]
))  # fmt: skip
def test_noise(data: bytes, magic: bytes) -> None:
    _try(magic + data)
