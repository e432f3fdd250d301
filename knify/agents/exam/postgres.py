"""PostgreSQL: databases of the operator, signed in to by the gateway; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knify.agents.exam import files, source, times

_BATCH = 20_000
_CONNECT_SECONDS = 60  # the gateway may wait for a place


def read(found: source.Source, wanted: source.Wanted) -> source.Rows:
    """The user's rows. SourceError."""
    try:
        import psycopg
    except ImportError:
        raise source.SourceError("this image has no psycopg: leave `image` out") from None
    end = time.monotonic() + wanted.seconds
    with _errors(psycopg), psycopg.connect(**_session(found, wanted)) as connection:
        try:
            return _read(psycopg.sql, connection, found, wanted, end)
        finally:
            connection.close()  # there is no transaction of ours to end


@contextmanager
def _errors(psycopg: Any) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise source.SourceError("one query took longer than the gateway lets it take") from None
    except psycopg.Error as failed:
        why = files.first_line(failed)
        if "Connection refused" in why:
            why = "not available: the operator declares no database (KNIFY_DATABASES_FILE)"
        raise source.SourceError(why) from None


def _session(found: source.Source, wanted: source.Wanted) -> dict[str, Any]:
    """The gateway knows who asks; a name in its list says for what."""
    return {
        "host": "127.0.0.1",
        "port": wanted.databases,
        "dbname": found.connection,
        "user": "knify",
        "sslmode": "disable",
        "gssencmode": "disable",
        "connect_timeout": _CONNECT_SECONDS,
        "autocommit": True,
    }


def _read(
    sql: Any, connection: Any, found: source.Source, wanted: source.Wanted, end: float
) -> source.Rows:
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
        cursor.execute(query, [wanted.user_id])
        while batch := cursor.fetchmany(_BATCH):
            if time.monotonic() > end:
                raise source.SourceError(f"took longer than {wanted.seconds:g} s")
            for at, label, print_ in batch:
                rows.add(times.milliseconds(at, found.unit), int(print_[:15], 16), label)
    return rows
