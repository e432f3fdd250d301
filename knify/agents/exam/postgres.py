"""PostgreSQL, by psycopg, in a transaction that cannot write; its password is in `PGPASSWORD`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knify.agents.exam import files, http, relay, source, times

_BATCH = 5_000


def read(found: source.Source, wanted: source.Wanted) -> source.Rows:
    """The user's rows. SourceError."""
    try:
        import psycopg
    except ImportError:
        raise source.SourceError("this image has no psycopg: leave `image` out") from None
    host, _, port = (found.address or "").rpartition(":")
    with _way(host, port) as near, _errors(psycopg):
        place = {"host": host, "hostaddr": "127.0.0.1", "port": near}
        with psycopg.connect(**place, **_session(found, wanted)) as connection:
            connection.read_only = True
            return _read(psycopg.sql, connection, found, wanted)


@contextmanager
def _way(host: str, port: str) -> Iterator[int]:
    """The port of this machine behind which the server is. SourceError."""
    if host in ("127.0.0.1", "localhost"):
        if not port.isdecimal():
            raise source.SourceError("address must be host:port")
        yield int(port)
        return
    proxy = os.environ.get("HTTPS_PROXY")
    if not proxy:
        raise source.SourceError(http.NO_WAY)
    with relay.through(proxy, f"{host}:{port}") as near:
        yield near


@contextmanager
def _errors(psycopg: Any) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as failed:
        raise source.SourceError(files.first_line(failed)) from None


def _session(found: source.Source, wanted: source.Wanted) -> dict[str, Any]:
    """Who asks for what, how long, and that nothing may be written."""
    limit = int(wanted.seconds * 1000)
    return {
        "dbname": found.database,
        "user": found.login,
        "connect_timeout": 15,
        "options": f"-c default_transaction_read_only=on -c statement_timeout={limit}",
    }


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
