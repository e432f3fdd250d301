"""SQLite files, by Python's own module, never written to."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from knify.agents.exam import files, source, times

_BATCH = 5_000
_STEPS = 100_000  # of SQLite's machine between two looks at the clock


def read(found: source.Source, wanted: source.Wanted) -> source.Rows:
    """The user's rows. SourceError."""
    paths = files.below(wanted.workspace, found.path or "")
    if len(paths) > 1:
        raise source.SourceError(f"{found.path} matches {len(paths)} files: name one")
    if _has_log(paths[0]):
        raise source.SourceError("its newest rows are in a -wal beside it: checkpoint it first")
    deadline = time.monotonic() + wanted.seconds
    connection = sqlite3.connect(f"file:{quote(paths[0])}?mode=ro&immutable=1", uri=True)
    try:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        connection.execute("PRAGMA trusted_schema = OFF")
        return _read(connection, found, wanted)
    except sqlite3.OperationalError as failed:
        slow = time.monotonic() > deadline
        why = f"took longer than {wanted.seconds:g} s" if slow else files.first_line(failed)
        raise source.SourceError(why) from None
    except (sqlite3.Error, OverflowError) as failed:
        raise source.SourceError(files.first_line(failed)) from None
    finally:
        connection.close()


def _has_log(path: str) -> bool:
    """Rows that are not in the file yet would be missed, without a word."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def _read(
    connection: sqlite3.Connection, found: source.Source, wanted: source.Wanted
) -> source.Rows:
    table = found.table or ""
    columns = [name for (name,) in connection.execute(
        "SELECT name FROM pragma_table_info(?)", [table]
    )]  # fmt: skip
    if not columns:
        raise source.SourceError(f"there is no table {table}")
    # SQLite takes a quoted name that is no column for a text: all must be columns.
    for name in (found.user, found.time, found.label):
        if name is not None and name not in columns:
            known = ", ".join(columns[:20])
            raise source.SourceError(f"there is no column {name}; there are {known}"[:500])
    at, label = columns.index(found.time), found.label and columns.index(found.label)
    cursor = connection.execute(
        f"SELECT * FROM {_name(table)} WHERE CAST({_name(found.user)} AS TEXT) = ?",  # noqa: S608
        [wanted.user_id],
    )
    rows = source.Rows(wanted)
    while batch := cursor.fetchmany(_BATCH):
        for row in batch:
            told = None if label is None else row[int(label)]
            rows.add(times.milliseconds(row[at], found.unit), hash(row), told)
    return rows


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
