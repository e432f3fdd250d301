"""SQLite files: read as they are, never written to, and stopped in time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from knify.agents.exam import source, sqlite
from tests.exam.conftest import JANUARY, Examine, failed, only

LOGINS = "sources: {a: {kind: sqlite, path: a.db, table: logins, user: user_id, time: at}}"


def _make(workspace: Path, *rows: tuple[object, object]) -> None:
    with sqlite3.connect(workspace / "a.db") as connection:
        connection.execute("CREATE TABLE logins (user_id, at)")
        connection.executemany("INSERT INTO logins VALUES (?, ?)", rows)
    connection.close()


def test_texts_and_numbers_are_times(workspace: Path, examine: Examine) -> None:
    _make(
        workspace,
        ("u1", "2025-01-01 00:00:00"),
        ("u1", 1736000000),
        ("u1", 1736000000123.0),
        ("u1", "1736000000"),
        ("u1", None),
        ("u1", b"\xff"),
        ("u2", 1736000000),
    )

    found = only(examine(LOGINS))

    assert (found["rows"], found["first"]) == (4, "2025-01-01T00:00:00.000Z")
    assert [(a["kind"], a["rows"]) for a in found["anomalies"]] == [("unreadable_time", 2)]


def test_numbers_are_ids_too(workspace: Path, examine: Examine) -> None:
    _make(workspace, (7, 1736000000), ("7", 1736000001), (70, 1736000000))

    assert only(examine(LOGINS, user_id="7"))["rows"] == 2


def test_a_table_or_column_that_is_not_there_is_named(workspace: Path, examine: Examine) -> None:
    _make(workspace, ("u1", 1))

    assert failed(examine(LOGINS.replace("logins", 'x"; DROP'))) == 'there is no table x"; DROP'
    assert "no column nobody; there are user_id, at" in failed(
        examine(LOGINS.replace("user_id", "nobody"))
    )


def test_an_id_is_never_a_part_of_a_query(workspace: Path, examine: Examine) -> None:
    _make(workspace, ("u1", 1736000000))

    assert only(examine(LOGINS, user_id="' OR 1=1 --"))["rows"] == 0


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 4096, b"text"])
def test_a_file_that_is_no_database_says_why(
    workspace: Path, examine: Examine, content: bytes
) -> None:
    (workspace / "a.db").write_bytes(content)

    assert failed(examine(LOGINS))


def test_a_query_without_end_is_stopped(workspace: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i FROM n"
    with sqlite3.connect(workspace / "a.db") as connection:
        connection.execute(f"CREATE VIEW logins (user_id, at) AS {endless}")
    connection.close()
    declared = source.Source("a", "sqlite", "user_id", "at", path="a.db", table="logins")
    wanted = source.Wanted("x", *JANUARY, workspace=str(workspace), seconds=0.2)

    with pytest.raises(source.SourceError, match="took longer than"):
        sqlite.read(declared, wanted)


def test_nothing_is_written_to_it(workspace: Path, examine: Examine) -> None:
    _make(workspace, ("u1", 1736000000))
    before = (workspace / "a.db").read_bytes()

    only(examine(LOGINS))

    assert (workspace / "a.db").read_bytes() == before
    assert not list(workspace.glob("a.db-*"))


def test_rows_that_are_not_in_the_file_yet_are_not_missed_without_a_word(
    workspace: Path, examine: Examine
) -> None:
    _make(workspace, ("u1", "2025-01-01 00:00:00"))
    (workspace / "a.db-wal").write_bytes(b"rows")

    assert "checkpoint it" in failed(examine(LOGINS))


def test_a_pattern_of_several_files_is_no_source(workspace: Path, examine: Examine) -> None:
    _make(workspace, ("u1", "2025-01-01 00:00:00"))
    (workspace / "b.db").write_bytes(b"")

    assert "matches 2 files" in failed(examine(LOGINS.replace("a.db", '"*.db"')))
