"""Walking a hostile folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from knify import errors
from knify.sandbox import tree

TRAPS = ["link", "up/secret", "loop/a/b/f", "fifo", "../secret", "a//b/f", "/etc/passwd", "a"]
TRAPS += ["a/.", "none", "a/b/f/g", "", "a\0b"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one of each kind of trap."""
    (tmp_path / "secret").write_text("no")
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "f").write_text("deep")
    (root / "odd\nname").write_text("x")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("raw")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("skipped")
    (root / "link").symlink_to("../secret")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to(".")
    os.mkfifo(root / "fifo")
    return root


def test_only_regular_files_inside_are_listed(root: Path) -> None:
    assert set(tree.listing(root)) == {"a/b/f", "odd\nname", "\udcff"}


@pytest.mark.parametrize("path", TRAPS)
def test_nothing_but_regular_files_inside_can_be_opened(root: Path, path: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(errors.NotFound):
        tree.open_file(root, path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_is_read(root: Path) -> None:
    with tree.open_file(root, "a/b/f") as file:
        assert file.read() == b"deep"
    with tree.open_file(root, "\udcff") as file:
        assert file.read() == b"raw"


def test_changes_are_seen_even_when_the_mtime_is_put_back(root: Path) -> None:
    before = tree.listing(root)
    assert tree.changed(before, tree.listing(root)) == []

    file = root / "a" / "b" / "f"
    stamp = file.stat().st_mtime_ns
    file.write_text("peed")
    os.utime(file, ns=(stamp, stamp))
    (root / "new").write_text("")

    assert tree.changed(before, tree.listing(root)) == ["a/b/f", "new"]


def test_too_many_entries_are_refused_and_too_deep_ones_left_out(root: Path) -> None:
    with pytest.raises(errors.TooLarge):
        tree.listing(root, max_entries=3)
    assert "a/b/f" not in tree.listing(root, max_depth=1)


def test_a_listing_survives_storage(root: Path) -> None:
    files = tree.listing(root)

    assert tree.load(tree.dump(files)) == files


def test_usage_counts_all_files_and_gives_up_on_bottomless_folders(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "pack").write_bytes(b"x" * 100_000)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 10**9)
    (tmp_path / "link").symlink_to("/")
    assert 100_000 <= tree.usage(tmp_path, 10**9) < 200_000

    folder = tmp_path
    for _ in range(300):
        folder /= "d"
        folder.mkdir()
    assert tree.usage(tmp_path, 10**9) > 10**9
