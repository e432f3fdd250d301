"""The id range: picked once, the same in both files, nobody else's line touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify.host import subids


def _files(folder: Path, uids: str | None, gids: str | None) -> tuple[Path, Path]:
    paths = (folder / "subuid", folder / "subgid")
    for path, text in zip(paths, (uids, gids), strict=True):
        if text is not None:
            path.write_text(text)
    return paths


def test_both_files_get_the_same_range_and_keep_their_lines(tmp_path: Path) -> None:
    uids, gids = _files(tmp_path, "ann:100000:65536\n# note", "bob:100000:65536\n")

    added = subids.ensure(uids, gids)

    assert added is not None
    line = f"containers:{added.start}:{subids.WANTED}\n"
    assert uids.read_text() == "ann:100000:65536\n# note\n" + line
    assert gids.read_text() == "bob:100000:65536\n" + line


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    uids, gids = _files(tmp_path, None, None)
    subids.ensure(uids, gids)
    before = uids.read_bytes()

    assert subids.ensure(uids, gids) is None
    assert uids.read_bytes() == before


def test_an_operators_large_range_is_left_alone(tmp_path: Path) -> None:
    line = "containers:2147483647:2147483648\n"
    uids, gids = _files(tmp_path, line, line)

    assert subids.ensure(uids, gids) is None


def test_the_picked_range_overlaps_no_other() -> None:
    taken = [subids.Range("ann", 2**31 + 5, 10), subids.Range("bob", 2**31 + 2**28, 1)]

    found = subids.pick(taken)

    assert found.start == 2**31 + 2 * 2**28


def test_a_range_in_one_file_only_blocks_it_in_both(tmp_path: Path) -> None:
    uids, gids = _files(tmp_path, "", f"ann:{2**31}:1\n")

    added = subids.ensure(uids, gids)

    assert added is not None and added.start == 2**31 + 2**28


def test_what_counts_is_the_smaller_of_the_two_files(tmp_path: Path) -> None:
    uids, gids = _files(tmp_path, f"containers:{2**31}:{2**28}\n", "containers:100000:65536\n")

    assert subids.owned(uids, gids) == 65_536


def test_no_id_beyond_the_kernels_last_is_given() -> None:
    with pytest.raises(LookupError):
        subids.pick([subids.Range("all", 2**31, 2**31)])


def test_the_files_permissions_stay(tmp_path: Path) -> None:
    uids, gids = _files(tmp_path, "", "")
    uids.chmod(0o600)

    subids.ensure(uids, gids)

    assert uids.stat().st_mode & 0o777 == 0o600
    assert gids.stat().st_mode & 0o777 == 0o644


def test_no_temporary_file_stays_behind(tmp_path: Path) -> None:
    uids, gids = _files(tmp_path, None, None)

    subids.ensure(uids, gids)

    assert sorted(tmp_path.iterdir()) == [gids, uids]


@pytest.mark.parametrize("line", ["# containers:1:2", "containers:1", "containers:x:2", ""])
def test_lines_of_another_form_count_for_nothing(line: str) -> None:
    assert subids.parse(line) == [] or subids.parse(line)[0].owner != subids.OWNER
