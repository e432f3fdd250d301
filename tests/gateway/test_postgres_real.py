"""A door to a real PostgreSQL server: signed in to, and whatever is tried, nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knify.gateway.postgres import port
from tests.gateway import pgserver
from tests.gateway import rig as rigs
from tests.parts import postgres
from tests.parts.stack import eventually

Opened = Callable[[str], rigs.Rig]
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
#: With what it is known that nothing was written: the server gave the transaction no number.
READ_ONLY = (
    "SELECT current_setting('transaction_read_only'), pg_current_xact_id_if_assigned() IS NULL"
)
#: Which pass, and change nothing.
VAIN = [
    "SELECT set_config('default_transaction_read_only', 'off', false)",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT set_config('transaction_read_only', 'on', true)",
]
SET_BEFORE = "transaction read-write mode must be set before any query"
#: Which the server refuses, each in its own words.
UNLOCKS = {
    "SELECT set_config('transaction_read_only', 'off', true)": SET_BEFORE,
    "SELECT runs('SET transaction_read_only = off')": SET_BEFORE,
    "SELECT runs('SET TRANSACTION READ WRITE')": SET_BEFORE,
    "SELECT runs('COMMIT')": "EXECUTE of transaction commands",
    "SELECT runs('CALL ends()')": "invalid transaction termination",
    "SELECT runs('ROLLBACK')": "EXECUTE of transaction commands",
}

#: Its rows, whether the sequence was used, and that no table came.
STATE = "SELECT array_agg(n), (SELECT is_called FROM s), to_regclass('u') IS NULL FROM t"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
SLEEPING = f"{SESSIONS} AND state = 'active' AND query LIKE '%pg_sleep%'"


@pytest.fixture(scope="module", params=["scram-sha-256", "md5"])
def server(request: pytest.FixtureRequest) -> Iterator[postgres.Server]:
    with postgres.running(request.param) as one:
        one.sql(SCHEMA)
        yield one


@pytest.fixture
def opened(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens a door where the database `crm` is at this URL; its port comes last but one."""
    with contextlib.ExitStack() as stack:

        def run(url: str) -> rigs.Rig:
            file = tmp_path / "databases.yaml"
            file.write_text(f"crm: {url}\n")
            way = rigs.running(redis_url, tmp_path, monkeypatch, KNIFY_DATABASES_FILE=str(file))
            rig = stack.enter_context(way)
            rig.open(services=("databases",))
            return rig

        yield run


@pytest.fixture
def rig(server: postgres.Server, opened: Opened) -> rigs.Rig:
    """A gateway with a door to the server."""
    return opened(server.url("app", "app-secret"))


@pytest.fixture
def at(rig: rigs.Rig) -> int:
    """The port of the door."""
    return rig.ports[-2]


def test_the_usual_client_reads_without_a_password(server: postgres.Server, at: int) -> None:
    done = server.psql(at, "crm", "SELECT current_user, n FROM t", READ_ONLY)

    assert done.stdout.splitlines() == ["app|1", "on|t"], done.stderr


@pytest.mark.parametrize(
    "write",
    [
        "SELECT writes()", "SELECT nextval('s')", "SELECT * FROM t FOR UPDATE",
        "SELECT * INTO u FROM t", "SELECT runs('DELETE FROM t')",
        "SELECT runs('CREATE TABLE u AS SELECT 1')",
    ],
)  # fmt: skip
def test_nothing_is_written(server: postgres.Server, at: int, write: str) -> None:
    done = server.psql(at, "crm", write)

    assert (done.stdout, "read-only transaction" in done.stderr) == ("", True), done.stderr
    assert server.sql(STATE) == "{1}|f|t\n"


@pytest.mark.parametrize(
    "write",
    [
        "WITH x AS (INSERT INTO t VALUES (9) RETURNING n) SELECT * FROM x",
        "EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN ANALYZE CREATE TABLE u AS SELECT 1",
        "EXPLAIN (ANALYZE) CREATE MATERIALIZED VIEW u AS SELECT 1",
        "INSERT INTO t VALUES (2)", "DELETE FROM t", "CALL ends()", "COMMIT", "SELECT 1; COMMIT",
        "DO $$ BEGIN DELETE FROM t; END $$", "COPY t TO PROGRAM 'true'",
    ],
)  # fmt: skip
def test_what_is_more_than_reading_never_gets_there(
    server: postgres.Server, at: int, write: str
) -> None:
    done = server.psql(at, "crm", write)

    assert (done.stdout, "not allowed" in done.stderr) == ("", True), done.stderr
    assert server.sql(STATE) == "{1}|f|t\n"


@pytest.mark.parametrize(
    "write", ["SELECT lo_create(0)", "SELECT runs('EXPLAIN ANALYZE CREATE TABLE u AS SELECT 1')"]
)
def test_what_a_server_lets_reading_sessions_write_is_gone_with_the_session(
    server: postgres.Server, at: int, write: str
) -> None:
    """Holes of PostgreSQL 15: nothing of a session is ever committed."""
    server.psql(at, "crm", write)

    eventually(lambda: server.sql(SESSIONS) == "0\n")
    assert server.sql(STATE) == "{1}|f|t\n"
    assert server.sql("SELECT count(*) FROM pg_largeobject_metadata") == "0\n"


@pytest.mark.parametrize("vain", VAIN)
def test_what_a_session_sets_makes_it_no_writer(
    server: postgres.Server, at: int, vain: str
) -> None:
    done = server.psql(at, "crm", vain, READ_ONLY)

    assert done.stdout.splitlines()[1:] == ["on|t"], done.stderr


@pytest.mark.parametrize("unlock", UNLOCKS)
def test_no_way_leads_out_of_the_reading(server: postgres.Server, at: int, unlock: str) -> None:
    done = server.psql(at, "crm", unlock)

    assert (done.stdout, UNLOCKS[unlock] in done.stderr) == ("", True), done.stderr
    assert server.sql(STATE) == "{1}|f|t\n"


def test_a_superuser_is_not_signed_in(server: postgres.Server, opened: Opened) -> None:
    rig = opened(server.url("postgres", postgres.ADMIN))

    done = server.psql(rig.ports[-2], "crm", "SELECT 1")

    assert "superuser" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("role", ["pg_read_server_files", "admins"])
def test_a_login_that_may_become_more_is_not_signed_in(
    server: postgres.Server, opened: Opened, role: str
) -> None:
    """Through another role, too, and without using it unasked."""
    server.sql(
        "DROP ROLE IF EXISTS member, between, admins; CREATE ROLE admins SUPERUSER;"
        "CREATE ROLE between NOLOGIN; CREATE ROLE member LOGIN NOINHERIT PASSWORD 'm-secret';"
        f"GRANT between TO member; GRANT {role} TO between;"
    )
    rig = opened(server.url("member", "m-secret"))

    done = server.psql(rig.ports[-2], "crm", "SELECT 1")
    server.sql(f"REVOKE {role} FROM between")
    harmless = server.psql(rig.ports[-2], "crm", "SELECT 1")

    assert f"a member of {role}" in done.stderr and done.stdout == ""
    assert harmless.stdout == "1\n", harmless.stderr


def _sleep(client: pgserver.Client) -> None:
    """It has taken the server's own limits away, and asked for something long."""
    assert client.start("crm")[-1] == (b"Z", b"T")
    for name in ("statement_timeout", "client_connection_check_interval"):
        words = f"SELECT set_config('{name}', '0', false)"
        client.say(pgserver.wire.pack(b"Q", words.encode() + b"\0"))
        assert client.answers()[-1] == (b"Z", b"T")
    client.say(pgserver.wire.pack(b"Q", b"SELECT pg_sleep(600)\0"))


def test_no_query_outlives_its_client(server: postgres.Server, at: int) -> None:
    for _ in range(2):
        with pgserver.Client(at) as client:
            _sleep(client)
            eventually(lambda: server.sql(SLEEPING) == "1\n")
        eventually(lambda: server.sql(SESSIONS) == "0\n")


def test_no_query_outlives_its_door(server: postgres.Server, rig: rigs.Rig, at: int) -> None:
    with pgserver.Client(at) as client:
        _sleep(client)
        eventually(lambda: server.sql(SLEEPING) == "1\n")
        rig.call(rig.gateway.doors.close_all())
        eventually(lambda: server.sql(SESSIONS) == "0\n")


def test_a_statement_is_ended_by_the_gateways_clock(
    server: postgres.Server, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "_STATEMENT_SECONDS", 2.0)
    with pgserver.Client(at) as client:
        _sleep(client)
        kind, body = client.answers()[-1]

        assert kind == b"E" and b"a statement may take" in body
        eventually(lambda: server.sql(SESSIONS) == "0\n")


def test_a_server_notices_by_itself_that_a_gateway_has_died(
    at: int, server: postgres.Server
) -> None:
    words = "SELECT current_setting('client_connection_check_interval')"

    assert server.psql(at, "crm", words).stdout == "10s\n"


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
