"""Cutting one turn out of conmon's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify.sandbox import base, logfile, markers

NONCE = "ab" * 16
OUT, ERR = base.Stream.OUT, base.Stream.ERR


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two turns, the second with a mark; the last line is torn."""
    ours = markers.needle(NONCE).decode()
    lines = [
        "stdout F \x1eknify:" + "cd" * 16 + " start 5",
        "stdout F earlier",
        f"stdout F {ours}start 7",
        f"stderr F {ours}start 7",
        "stdout P one ",
        "stderr F warned",
        "stdout F two\r",
        f"stdout F half{ours}mark m",
        "stdout F later",
        f"stderr F {ours}mark m",
        "garbage",
        f"stdout F {ours}exit 3",
        f"stderr F {ours}exit 3",
    ]
    path = tmp_path / "ctr.log"
    path.write_bytes("".join(f"2026-01-01T00:00:00Z {line}\n" for line in lines).encode() + b"to")
    return path


def cut(log: Path, mark: str | None, skip: int = 0) -> tuple[bytes, bytes, logfile.Cut]:
    made = logfile.Cut(NONCE, mark, {OUT: skip, ERR: 0})
    pieces = list(made.take(log))
    both = (b"".join(data for stream, data in pieces if stream == one) for one in (OUT, ERR))
    return next(both), next(both), made


def test_a_turn_is_cut_from_its_start_to_the_mark(log: Path) -> None:
    out, err, made = cut(log, "m")

    assert (out, err) == (b"one two\r\nhalf", b"warned\n")
    assert made.exited == set()


def test_without_a_mark_it_goes_on_to_the_exit(log: Path) -> None:
    out, err, made = cut(log, None, skip=4)

    assert (out, err) == (b"two\r\nhalflater\n", b"warned\n")
    assert (made.exit_code, made.exited, made.job_pid) == (3, {OUT, ERR}, 7)


def test_the_jobs_pid_is_found(log: Path) -> None:
    assert logfile.job_pid(log, NONCE) == 7
    assert logfile.job_pid(log, "00" * 16) is None
