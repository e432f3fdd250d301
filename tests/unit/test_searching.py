"""Files that hold a secret are found, packed in a patch too; all others pass as they are."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import masking, searching

SECRET = "s3cr3t-value-of-somebody"
MASKS = masking.Masks([SECRET])


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    "form",
    [
        SECRET.encode(),
        base64.encodebytes(b"x" * 50 + SECRET.encode()),
        b"\0\1" + SECRET.encode().hex().encode(),
        SECRET[:9].encode() + b"\r\n" + SECRET[9:].encode(),
    ],
)
def test_a_file_that_holds_a_secret_is_held(form: bytes, size: int) -> None:
    data = os.urandom(5_000) + form + b"the rest"

    assert searching.is_held(searching.through(MASKS, _pieces(data, size)))


def test_all_others_pass_as_they_are() -> None:
    data = os.urandom(100_000) + SECRET[:-1].encode()

    assert b"".join(searching.through(MASKS, _pieces(data, 4096))) == data
    assert b"".join(searching.patch(MASKS, _pieces(data, 4096))) == data


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a large binary file, which a change of makes a delta."""
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "large.bin").write_bytes(random.Random(5).randbytes(60_000))
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "-m", "x")
    return tmp_path


def _git(folder: Path, *words: str) -> bytes:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, check=True)
    return done.stdout


def _patch(folder: Path) -> bytes:
    _git(folder, "add", "--intent-to-add", ".")
    return _git(folder, "diff", "--binary", "--full-index")


WRAPPED = b"\n".join(_pieces(base64.b64encode(SECRET.encode() * 4), 20))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("new.bin", b"\0\1\2" + SECRET.encode() + b"\0" * 300),
        ("new.txt", b"a\n" + WRAPPED + b"\n"),
        ("notes.txt", b"one\n" + SECRET.encode() + b"\ntwo\n"),
        ("large.bin", None),
    ],
)
@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_a_patch_that_holds_a_secret_is_held_however_it_is_packed(
    repository: Path, name: str, content: bytes | None, size: int
) -> None:
    if content is None:  # so that git writes a delta
        large = (repository / name).read_bytes()
        content = large[:30_000] + SECRET.encode() + large[30_000:]
    clean = _patch(repository)
    (repository / name).write_bytes(content)
    made = _patch(repository)

    assert SECRET.encode() in made or b"GIT binary patch" in made or name == "new.txt"
    assert (name == "large.bin") == (b"\ndelta " in made)
    assert searching.is_held(searching.patch(MASKS, _pieces(made, size)))
    assert not searching.is_held(searching.patch(MASKS, _pieces(clean, size)))


def test_a_patch_without_secrets_passes(repository: Path) -> None:
    large = (repository / "large.bin").read_bytes()
    (repository / "large.bin").write_bytes(large[:30_000] + b"something else" + large[30_000:])
    (repository / "new.bin").write_bytes(os.urandom(100_000))

    made = _patch(repository)

    assert b"".join(searching.patch(MASKS, _pieces(made, 1_000))) == made


@pytest.mark.parametrize(
    "lines",
    [
        b"literal 5\nzcmZ-nonsense\n\n",
        b"delta 5\n\n\nliteral 3\n~~~~\x80\xff\nA\n\n",
        b"literal 999999999999999999\nz\n\n",
        b"literal 5\n" + b"z" * 5_000 + b"\n\n",
    ],
)
def test_what_is_no_patch_of_gits_is_looked_at_like_any_text(lines: bytes) -> None:
    assert b"".join(searching.patch(MASKS, [lines])) == lines
    assert searching.is_held(searching.patch(MASKS, [lines, SECRET.encode()]))


def test_what_unpacks_to_far_too_much_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_MOST", 100_000)
    packed = zlib.compress(b"\0" * 1_000_000)
    lines = [
        bytes([64 + len(part) if len(part) < 27 else 70 + len(part)]) + base64.b85encode(part, True)
        for part in _pieces(packed, 52)
    ]

    assert searching.is_held(
        searching.patch(MASKS, [b"literal 1000000\n", b"\n".join(lines), b"\n\n"])
    )
