"""CSV, Parquet and NDJSON, read by DuckDB: one scan of the files, whose rows of the user stay."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knify.agents.exam import source, times

_BATCH = 20_000
_SCANS = {
    "csv": "read_csv({path}, all_varchar=true, header=true, ignore_errors=true, "
    "store_rejects=true)",
    "parquet": "read_parquet({path}, union_by_name=true)",
    "ndjson": "read_ndjson_objects({path}, ignore_errors=true)",
}


def read(found: source.Source, wanted: source.Wanted) -> source.Rows:
    """The user's rows. SourceError."""
    try:
        import duckdb
    except ImportError:
        raise source.SourceError("this image has no DuckDB: leave `image` out") from None
    paths = below(wanted.workspace, found.path or "")
    with _connection(duckdb, wanted) as connection:
        try:
            return _read(connection, found, wanted, paths)
        except duckdb.InterruptException:
            raise source.SourceError(f"took longer than {wanted.seconds:g} s") from None
        except duckdb.Error as failed:
            raise source.SourceError(first_line(failed)) from None


def below(workspace: str, pattern: str) -> list[str]:
    """The files of the workspace that a path or pattern names. SourceError when there are none."""
    root = Path(workspace).resolve()
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise source.SourceError("path must be relative to the workspace, without ..")
    found = [path.resolve() for path in sorted(root.glob(pattern)) if path.is_file()]
    paths = [str(path) for path in found if path.is_relative_to(root)]
    if not paths:
        raise source.SourceError(f"no file {pattern} in the workspace")
    return paths


def first_line(failed: Exception) -> str:
    """The part of an error that people read."""
    return (str(failed).strip().splitlines() or [type(failed).__name__])[0][:500]


@contextmanager
def _connection(duckdb: Any, wanted: source.Wanted) -> Iterator[Any]:
    """One that opens files of the workspace and nothing else, and is stopped in time."""
    memory = int(os.environ.get("KNIFY_MEMORY") or 2**31) * 6 // 10
    config = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{max(memory, 64 * 2**20)}B",
        "threads": str(max(1, round(float(os.environ.get("KNIFY_CPUS") or 2)))),
        "preserve_insertion_order": "false",
    }
    connection = duckdb.connect(":memory:", config=config)
    timer = threading.Timer(wanted.seconds, connection.interrupt)
    timer.daemon = True
    try:
        connection.execute("SET TimeZone = 'UTC'")
        folder = Path(wanted.workspace).resolve()
        connection.execute(f"SET allowed_directories = [{_literal(f'{folder}/')}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        timer.start()
        yield connection
    finally:
        timer.cancel()
        connection.close()


def _read(
    connection: Any, found: source.Source, wanted: source.Wanted, paths: list[str]
) -> source.Rows:
    scan = _SCANS[found.kind].format(path="[" + ", ".join(map(_literal, paths)) + "]")
    user, at, label = _columns(connection, found, scan)
    select = f"{at} AS moment, hash(t) AS print_, {label} AS label"
    connection.execute(
        f"CREATE TEMP TABLE mine AS SELECT {select} FROM {scan} t WHERE {user} = ?",  # noqa: S608
        [wanted.user_id],
    )
    rows = source.Rows(wanted)
    inside = "moment BETWEEN ? AND ?"
    span = [wanted.start, wanted.end]
    (total, untimed, within, distinct) = connection.execute(
        "SELECT count(*), count(*) FILTER (moment IS NULL), "  # noqa: S608
        f"count(*) FILTER ({inside}), count(DISTINCT print_) FILTER ({inside}) FROM mine",
        [*span, *span],
    ).fetchone()
    rows.untimed, rows.outside, rows.doubles = untimed, total - untimed - within, within - distinct
    connection.execute(f"SELECT moment FROM mine WHERE {inside}", span)  # noqa: S608
    while batch := connection.fetchmany(_BATCH):
        rows.times.extend(at for (at,) in batch)
    labels = "SELECT label, count(*) FROM mine WHERE label IS NOT NULL AND "
    connection.execute(
        f"{labels}{inside} GROUP BY 1 ORDER BY 2 DESC LIMIT {source.MAX_LABELS}", span
    )
    for label, count in connection.fetchall():
        rows.count(label, count)
    rows.unreadable = _unreadable(connection, found, scan)
    return rows


def _columns(connection: Any, found: source.Source, scan: str) -> tuple[str, str, str]:
    """Expressions for user, time and label."""
    if found.kind == "ndjson":
        texts = [_member(name) for name in (found.user, found.time)]
        label = _member(found.label) if found.label else "NULL::VARCHAR"
        return texts[0], _of_text(texts[1], found.unit), label
    described = connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()  # noqa: S608
    types = {name: kind for name, kind, *_ in described}
    for name in (found.user, found.time, found.label):
        if name is not None and name not in types:
            known = ", ".join(list(types)[:20])
            raise source.SourceError(f"there is no column {name}; there are {known}"[:500])
    user = f"CAST(t.{_name(found.user)} AS VARCHAR)"
    label = f"CAST(t.{_name(found.label)} AS VARCHAR)" if found.label else "NULL::VARCHAR"
    return user, _time(f"t.{_name(found.time)}", types[found.time], found.unit), label


def _time(column: str, kind: str, unit: str) -> str:
    if kind.startswith("TIMESTAMP"):
        return f"epoch_ms({column})"
    if kind == "DATE":
        return f"epoch_ms(CAST({column} AS TIMESTAMP))"
    if kind == "VARCHAR":
        return _of_text(column, unit)
    return _of_number(f"TRY_CAST({column} AS DOUBLE)", unit)


def _of_text(column: str, unit: str) -> str:
    number = _of_number(f"TRY_CAST({column} AS DOUBLE)", unit)
    return f"COALESCE(epoch_ms(TRY_CAST({column} AS TIMESTAMPTZ)), {number})"


def _of_number(number: str, unit: str) -> str:
    """The same as `times._of_number`, in SQL."""
    factor = {
        "s": "1000.0",
        "ms": "1.0",
        "us": "0.001",
        "auto": f"CASE WHEN abs({number}) >= {times.AS_US!r} THEN 0.001 "
        f"WHEN abs({number}) >= {times.AS_MS!r} THEN 1.0 ELSE 1000.0 END",
    }[unit]
    size = f"isfinite({number}) AND abs({number}) < {2**60}"
    return f"CASE WHEN {size} THEN TRY_CAST(floor({number} * ({factor})) AS BIGINT) END"


def _member(name: str) -> str:
    """A member of a JSON object, by its name or, beginning with /, by its pointer."""
    return f"json_extract_string(t.json, {_literal(pointer(name))})"


def pointer(name: str) -> str:
    """The JSON pointer of a column."""
    return name if name.startswith("/") else "/" + name.replace("~", "~0").replace("/", "~1")


def _unreadable(connection: Any, found: source.Source, scan: str) -> int:
    asked = {
        "csv": "SELECT count(DISTINCT (file_id, line)) FROM reject_errors",
        "ndjson": f"SELECT count(*) FROM {scan} t WHERE json IS NULL",  # noqa: S608
    }.get(found.kind)
    return int(connection.execute(asked).fetchone()[0]) if asked else 0


def _name(column: str | None) -> str:
    return '"' + (column or "").replace('"', '""') + '"'


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
