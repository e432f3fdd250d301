"""Packing and unpacking hostile trees."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from knify import errors
from knify.sandbox import archive, extract

Roots = dict[str, Path]


def make_roots(folder: Path) -> Roots:
    roots = {what: folder / what for what in ("workspace", "home")}
    for root in roots.values():
        root.mkdir(parents=True)
    return roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Two trees with one of each kind of trap."""
    roots = make_roots(tmp_path / "one")
    work, home = roots.values()
    (tmp_path / "secret").write_text("no")
    (work / "a").mkdir(mode=0o700)
    (work / "a" / "f").write_text("deep")
    (work / "a" / "f").chmod(0o4755)
    (work / "a").chmod(0o2751)
    (work / "b").hardlink_to(work / "a" / "f")
    (work / "link").symlink_to("../../secret")
    (work / "up").symlink_to("..")
    (work / "absolute").symlink_to("/etc/passwd")
    os.link(work / "up", work / "hard link to a link", follow_symlinks=False)
    (work / "empty").mkdir(mode=0)
    (work / "closed").touch(mode=0)
    (work / ("n" * 255)).write_bytes(os.urandom(3_000_000))
    with (work / "holes").open("wb") as file:
        file.write(b"x")
        file.seek(10**9)
        file.write(b"y")
        file.truncate(2 * 10**9)
    (work / "hole").touch()
    os.truncate(work / "hole", 10**9)
    deep = work
    for _ in range(200):
        deep /= "d"
        deep.mkdir()
    raw = os.fsencode(home)
    Path(os.fsdecode(raw + b"/\xff\n=odd")).write_text("raw")
    Path(os.fsdecode(raw + b"/\xfd")).symlink_to("\udcfe")
    os.utime(work / "a" / "f", ns=(-1_500_000_001, -1_500_000_001))
    os.utime(work / "link", ns=(1, 1), follow_symlinks=False)
    os.utime(home, ns=(5, 1_234_567_890_123_456_789))
    return roots


def packed(roots: Roots) -> bytes:
    return b"".join(archive.pack(roots))


def test_an_unpacked_tree_is_the_packed_one(roots: Roots, tmp_path: Path) -> None:
    before, other = len(list(Path("/proc/self/fd").iterdir())), make_roots(tmp_path / "two")
    content = packed(roots)

    extract.unpack(io.BytesIO(content), other)

    assert archive.digest(other) == archive.digest(roots)
    assert packed(other) == content
    assert len(content) < 5_000_000
    work = other["workspace"]
    assert (work / "holes").stat().st_blocks * 512 < 100_000
    assert (work / "a" / "f").stat().st_mode & 0o7777 == 0o755
    assert (work / "b").samefile(work / "a" / "f")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_of_many_pieces_far_apart_stays_small(roots: Roots) -> None:
    with (roots["workspace"] / "bomb").open("wb") as file:
        for n in range(1_000):
            file.seek(n * 8 * 1024**2)
            file.write(b"x" * 4096)

    assert len(packed(roots)) < 20 * 1024**2


def test_devices_fifos_and_sockets_are_left_out(roots: Roots) -> None:
    work = roots["workspace"]
    seen, stamp = packed(roots), work.stat().st_mtime_ns
    os.mkfifo(work / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(work)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
    os.utime(work, ns=(stamp, stamp))

    assert packed(roots) == seen


def test_any_change_shows_in_the_digest(roots: Roots) -> None:
    known = {archive.digest(roots)}
    work = roots["workspace"]
    file, stamp = work / "a" / "f", (work / "a" / "f").stat().st_mtime_ns
    file.write_text("peed")
    os.utime(file, ns=(stamp, stamp))
    known.add(archive.digest(roots))
    (work / "closed").chmod(0o600)
    known.add(archive.digest(roots))
    os.utime(roots["home"], ns=(5, 6))
    known.add(archive.digest(roots))
    (work / "empty").rmdir()
    known.add(archive.digest(roots))

    assert len(known) == 5


def test_bottomless_folders_are_refused(tmp_path: Path) -> None:
    roots = make_roots(tmp_path)
    deep = roots["home"]
    for _ in range(300):
        deep /= "d"
        deep.mkdir()

    with pytest.raises(errors.TooLarge):
        packed(roots)


@pytest.mark.parametrize("keep", [0, 100, 512, 5_000, -512, -1_024])
def test_a_torn_archive_is_refused(roots: Roots, tmp_path: Path, keep: int) -> None:
    with pytest.raises(errors.BadRequest):
        extract.unpack(io.BytesIO(packed(roots)[:keep]), make_roots(tmp_path / "two"))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, target, 0o700
    entry.pax_headers = {"mtime": "1.5"}  # type: ignore[assignment]
    return entry


ROOT = member("workspace", tarfile.DIRTYPE)
HOSTILE = [
    [ROOT, member("workspace/../x")],
    [ROOT, member("/workspace/x")],
    [ROOT, member("workspace//x")],
    [member("etc", tarfile.DIRTYPE)],
    [member("workspace/x")],
    [ROOT, member("workspace/l", tarfile.SYMTYPE, ".."), member("workspace/l/x")],
    [ROOT, member("workspace/l", tarfile.SYMTYPE, "/x"), member("workspace/l")],
    [ROOT, member("workspace/h", tarfile.LNKTYPE, "../secret")],
    [ROOT, member("workspace/h", tarfile.LNKTYPE, "/etc/passwd")],
    [ROOT, member("workspace/h", tarfile.LNKTYPE, "home/x")],
    [
        ROOT,
        member("workspace/l", tarfile.SYMTYPE, "../.."),
        member("workspace/h", tarfile.LNKTYPE, "workspace/l/secret"),
    ],
    [ROOT, member("workspace/dev", tarfile.CHRTYPE)],
    [ROOT, member("workspace/fifo", tarfile.FIFOTYPE)],
    [member("workspace", tarfile.SYMTYPE, "/")],
]


@pytest.mark.parametrize("members", HOSTILE)
def test_nothing_is_written_outside(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    (tmp_path / "secret").write_text("no")
    roots = make_roots(tmp_path / "two")
    content = b"".join(one.tobuf(tarfile.PAX_FORMAT) for one in members) + bytes(1024)

    with pytest.raises((errors.BadRequest, errors.SandboxError)):
        extract.unpack(io.BytesIO(content), roots)

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["secret", "two"]
    assert (tmp_path / "secret").stat().st_nlink == 1
