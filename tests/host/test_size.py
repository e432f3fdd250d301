"""What a host offers to jobs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from knify.host import size


def test_some_memory_is_left_to_the_host() -> None:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    assert there / 2 <= size.memory() < there


def test_a_disk_with_less_than_the_reserve_is_named_with_both_numbers(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free

    assert size.low_disk([tmp_path], 0, "n1") is None
    text = size.low_disk([tmp_path], 2 * free, "n1")
    assert text is not None
    assert text.startswith("low disk on n1: ")
    assert text.endswith("reserved")


def test_a_folder_that_is_not_made_yet_counts_as_its_parent(tmp_path: Path) -> None:
    assert size.low_disk([tmp_path / "not" / "yet"], 1, "n1") is None


def test_a_disk_that_cannot_be_asked_counts_as_low(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", broken)

    assert "not known" in (size.low_disk([tmp_path], 0, "n1") or "")
