"""PostgreSQL, by psycopg, in a transaction that cannot write."""

from __future__ import annotations

from typing import Any

from knify.agents.exam import files, source, times

_BATCH = 5_000


def read(found: source.Source, wanted: source.Wanted) -> source.Rows:
    """The user's rows. SourceError."""
    try:
        import psycopg
    except ImportError:
        raise source.SourceError("this image has no psycopg: leave `image` out") from None
    host, _, port = (found.address or "").rpartition(":")
    if host not in ("127.0.0.1", "localhost"):
        raise source.SourceError(f"not available: this sandbox has no way to {found.address}")
    options = (
        f"-c default_transaction_read_only=on -c statement_timeout={int(wanted.seconds * 1000)}"
    )
    try:
        with psycopg.connect(
            host=host, port=port, dbname=found.database, user=found.login,
            connect_timeout=10, options=options,
        ) as connection:  # fmt: skip
            connection.read_only = True
            return _read(psycopg.sql, connection, found, wanted)
    except psycopg.Error as failed:
        raise source.SourceError(files.first_line(failed)) from None


def _read(sql: Any, connection: Any, found: source.Source, wanted: source.Wanted) -> source.Rows:
    def column(name: str) -> Any:
        return sql.Identifier("t", name)

    query = sql.SQL("SELECT {at}, {label}, md5(t::text) FROM {table} t WHERE {user}::text = %s")
    query = query.format(
        at=column(found.time),
        label=column(found.label) if found.label else sql.SQL("NULL"),
        table=sql.Identifier(*(found.table or "").split(".", 1)),
        user=column(found.user),
    )
    rows = source.Rows(wanted)
    with connection.cursor("knify") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(query, [wanted.user_id])
        for at, label, print_ in cursor:
            rows.add(times.milliseconds(at, found.unit), int(print_[:15], 16), label)
    return rows
