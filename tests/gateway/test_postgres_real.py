"""A door to a real PostgreSQL server: signed in to, and whatever is tried, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import pgserver
from tests.gateway import rig as rigs
from tests.parts import postgres

pytestmark = [pytest.mark.slow]

#: A login that may write: what keeps it from that is the gateway.
SCHEMA = """
CREATE ROLE app LOGIN PASSWORD 'app-secret';
CREATE TABLE t (n int); INSERT INTO t VALUES (1); CREATE SEQUENCE s;
ALTER TABLE t OWNER TO app; ALTER SEQUENCE s OWNER TO app;
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (7) RETURNING n';
CREATE FUNCTION runs(what text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE what; RETURN 'done'; END $$;
CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$ BEGIN COMMIT; INSERT INTO t VALUES (8); END $$;
"""
WRITE = "WITH x AS (INSERT INTO t VALUES (9) RETURNING n) SELECT * FROM x"
UNLOCKS = [
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SELECT set_config('transaction_read_only', 'off', true)",
    "SELECT runs('SET transaction_read_only = off')",
    "SELECT runs('SET TRANSACTION READ WRITE')",
    "SELECT runs('SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE')",
    "SELECT runs('COMMIT')",
    "SELECT runs('CALL ends()')",
    "SELECT runs('ROLLBACK; BEGIN')",
]


@pytest.fixture(scope="module", params=["scram-sha-256", "md5"])
def server(request: pytest.FixtureRequest) -> Iterator[postgres.Server]:
    with postgres.running(request.param) as one:
        one.sql(SCHEMA)
        yield one


@pytest.fixture
def at(
    server: postgres.Server, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """The port of a door."""
    file = tmp_path / "databases.yaml"
    file.write_text(f"crm: {server.url('app', 'app-secret')}\n")
    with rigs.running(redis_url, tmp_path, monkeypatch, KNIFY_DATABASES_FILE=str(file)) as rig:
        rig.open(services=("databases",))
        yield rig.ports[-2]


def test_the_usual_client_reads_without_a_password(server: postgres.Server, at: int) -> None:
    done = server.psql(at, "crm", "SELECT current_user, n FROM t", "SHOW transaction_read_only")

    assert done.stdout.splitlines() == ["app|1", "on"], done.stderr


@pytest.mark.parametrize(
    "write",
    [
        WRITE, "SELECT writes()", "SELECT nextval('s')", "SELECT * FROM t FOR UPDATE",
        "SELECT * INTO u FROM t", "EXPLAIN ANALYZE DELETE FROM t", "SELECT runs('DELETE FROM t')",
        "INSERT INTO t VALUES (2)", "DELETE FROM t", "CALL ends()", "COMMIT", "SELECT 1; COMMIT",
        "DO $$ BEGIN DELETE FROM t; END $$", "COPY t TO PROGRAM 'true'",
    ],
)  # fmt: skip
def test_nothing_is_written(server: postgres.Server, at: int, write: str) -> None:
    done = server.psql(at, "crm", write, "DELETE FROM t", WRITE)

    assert "read-only transaction" in done.stderr or "not allowed" in done.stderr
    assert server.sql("SELECT array_agg(n), (SELECT is_called FROM s) FROM t") == "{1}|f\n"


@pytest.mark.parametrize("unlock", UNLOCKS)
def test_no_way_leads_out_of_the_reading(server: postgres.Server, at: int, unlock: str) -> None:
    for write in (WRITE, "SELECT writes()"):
        server.psql(at, "crm", unlock, write)

    assert server.sql("SELECT array_agg(n) FROM t") == "{1}\n"


@pytest.mark.parametrize(
    "text", ["SELECT 1; INSERT INTO t VALUES (5)", "SELECT 1; COMMIT; INSERT INTO t VALUES (5)"]
)
def test_a_prepared_text_holds_one_statement_only(
    server: postgres.Server, at: int, text: str
) -> None:
    def pack(kind: bytes, body: bytes = b"") -> bytes:
        return pgserver.wire.pack(kind, body)

    with pgserver.Client(at) as client:
        assert client.start("crm")[-1] == (b"Z", b"T")
        client.say(pack(b"P", b"\0" + text.encode() + b"\0\0\0"))
        client.say(pack(b"B", bytes(8)) + pack(b"E", bytes(5)) + pack(b"S"))

        (kind, body), *_ = client.answers()

    assert kind == b"E" and b"multiple commands" in body
    assert server.sql("SELECT array_agg(n) FROM t") == "{1}\n"
