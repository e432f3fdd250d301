"""The operator's databases: signed in to outside of the sandbox, and only read from inside."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import errors
from knify.gateway.postgres import declared, port, statements, wire
from tests.gateway import pgserver, web
from tests.gateway import porch as porches
from tests.gateway import rig as rigs

Open = Callable[..., int]


@pytest.fixture
def porch(monkeypatch: pytest.MonkeyPatch) -> Iterator[porches.Porch]:
    with porches.running(monkeypatch) as found:
        yield found


@pytest.fixture
def start(tmp_path: Path, porch: porches.Porch) -> Open:
    """A door's port, where the database `crm` is at this URL."""

    def run(url: str, more: str = "", trusts: Path | None = None) -> int:
        file = tmp_path / "databases.yaml"
        file.write_text(f"crm: {{url: '{url}'{more}}}\n")
        tls = ssl.create_default_context(cafile=trusts)
        made = porch.make(lambda: port.Port(declared.load(file), tls))
        return porch.open(made.serve, services=("databases",))

    return run


def text(answers: list[tuple[bytes, bytes]]) -> str:
    """The words of an error, which was the last answer."""
    kind, body = answers[-1]
    assert kind == b"E", answers
    return next(part[1:].decode() for part in body.split(b"\0") if part[:1] == b"M")


@pytest.mark.parametrize("login", ["trust", "md5", "scram"])
def test_a_client_without_a_password_is_signed_in_to_a_reading_session(
    start: Open, login: str
) -> None:
    with pgserver.running(login) as server:
        at = start(server.url())

        with pgserver.Client(at) as client:
            greeted = client.start("crm")
            client.say(wire.pack(b"Q", b"SELECT 1\0"))
            answers = client.answers()

    assert greeted == [(b"R", bytes(4)), (b"S", b"server_version\00015.0\0"), (b"Z", b"T")]
    assert answers == [(b"C", b"SELECT 1\0"), (b"Z", b"T")]
    (started,) = server.started
    assert (started["user"], started["database"]) == (pgserver.USER, pgserver.DATABASE)
    assert "options" not in started
    assert server.asked[0][1].startswith(b"BEGIN TRANSACTION READ ONLY; ")
    assert server.asked[1:2] == [(b"Q", b"SELECT 1\0")]


@pytest.mark.parametrize(
    ("login", "mode"), [("clear", "verify-full"), ("scram", "verify-full"), ("scram", "require")]
)
def test_its_server_is_checked_before_it_gets_a_password(
    start: Open, tmp_path: Path, login: str, mode: str
) -> None:
    secret, certificate = web.certified(tmp_path, "localhost")
    with pgserver.running(login, secret) as server:
        at = start(server.url(mode), trusts=certificate)

        with pgserver.Client(at) as client:
            assert client.start("crm")[-1] == (b"Z", b"T")


def test_a_password_in_clear_is_for_a_server_that_proved_who_it_is(
    start: Open, tmp_path: Path
) -> None:
    secret, certificate = web.certified(tmp_path, "localhost")
    with pgserver.running("clear", secret) as server:
        at = start(server.url("require"), trusts=certificate)

        with pgserver.Client(at) as client:
            assert "in clear without verify-full" in text(client.start("crm"))


def test_a_superusers_login_is_refused(start: Open) -> None:
    with pgserver.running("scram") as server:
        server.is_superuser = True
        at = start(server.url())

        with pgserver.Client(at) as client:
            assert "its login is a superuser's" in text(client.start("crm"))

    assert server.asked == []


def test_a_login_that_may_become_more_is_refused(start: Open) -> None:
    with pgserver.running("scram") as server:
        server.member_of = "pg_read_server_files"
        at = start(server.url())

        with pgserver.Client(at) as client:
            assert "its login is a member of pg_read_server_files:" in text(client.start("crm"))


def test_a_password_is_not_hashed_as_often_as_a_server_likes(start: Open) -> None:
    with pgserver.running("scram") as server:
        server.rounds = 100_001
        at = start(server.url())

        with pgserver.Client(at) as client:
            assert "hashed more than 100,000 times" in text(client.start("crm"))


def test_a_server_that_is_another_one_gets_nothing(
    porch: porches.Porch, start: Open, tmp_path: Path
) -> None:
    secret, certificate = web.certified(tmp_path, "other.test")
    with pgserver.running("clear", secret) as server:
        at = start(server.url("verify-full"), trusts=certificate)

        with pgserver.Client(at) as client:
            assert text(client.start("crm")) == "knify: crm: TLS failed: see sslmode"

    assert server.started == []
    assert porch.events() == [("database_error", "crm: TLS failed: see sslmode")]


@pytest.mark.parametrize(
    ("login", "changes", "why"),
    [
        ("scram", {"password": "wrong"}, "it refused the login (28P01)"),
        ("md5", {"password": "wrong"}, "it refused the login (28P01)"),
        ("pretends", {}, "it did not prove that it knows the password"),
        ("unknown", {}, "it wants a login of an unknown kind, or in clear without verify-full"),
        ("clear", {}, "it wants a login of an unknown kind, or in clear without verify-full"),
        ("trust", {"tls": "require"}, "its server has no TLS: see sslmode"),
    ],
)
def test_a_login_that_fails_says_so_and_nothing_of_where(
    start: Open, login: str, changes: dict[str, str], why: str
) -> None:
    with pgserver.running(login) as server:
        at = start(server.url(**changes))

        with pgserver.Client(at) as client:
            assert text(client.start("crm")) == f"knify: crm: {why}"


def test_a_server_that_begins_no_transaction_gives_no_session(start: Open) -> None:
    with pgserver.running("trust") as server:
        server.state = b"I"
        at = start(server.url())

        with pgserver.Client(at) as client:
            assert text(client.start("crm")) == "knify: crm: it began no transaction"


def test_a_database_that_is_not_there_is_told(start: Open) -> None:
    at = start("postgresql://u:p@127.0.0.1:1/d?sslmode=disable")

    with pgserver.Client(at) as client:
        assert text(client.start("crm")) == "knify: crm: it cannot be reached"


@pytest.mark.parametrize(
    ("name", "more"), [("other", ""), ("", ""), ("crm", ", tenants: [another]")]
)
def test_a_name_that_is_not_declared_for_this_tenant_is_none(
    start: Open, name: str, more: str
) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url(), more)

        with pgserver.Client(at) as client:
            assert "there is no database" in text(client.start(name))

    assert server.started == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"Q", b"COMMIT\0"),
        (b"Q", b"SELECT 1; COMMIT\0"),
        (b"Q", b"set transaction_read_only = off\0"),
        (b"P", b"\0ROLLBACK\0\0\0"),
        (b"F", bytes(8)),
    ],
)
def test_what_could_end_the_reading_never_reaches_the_server(
    porch: porches.Porch, start: Open, kind: bytes, body: bytes
) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url())

        with pgserver.Client(at) as client:
            client.start("crm")
            client.say(wire.pack(kind, body))
            assert "what is not allowed" in text(client.answers())
            assert client.answers() == []
        assert server.left.acquire(timeout=20)

    assert [asked for asked, _ in server.asked] == [b"Q", b"X"]
    assert [stage for stage, _ in porch.events()] == ["database_refused"]


def test_a_client_that_would_like_tls_is_told_that_there_is_none(start: Open) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url())

        with pgserver.Client(at) as client:
            client.say(struct.pack("!II", 8, wire.TLS))
            assert client.byte() == b"N"
            assert client.start("crm")[-1] == (b"Z", b"T")


@pytest.mark.parametrize(
    "nonsense",
    [b"GET / HTTP/1.1\r\n\r\n", struct.pack("!II", 8, 2 << 16), struct.pack("!I", 4),
     struct.pack("!IIII", 16, wire.CANCEL, 1, 2), struct.pack("!II", 8, wire.PROTOCOL),
     3 * struct.pack("!II", 8, wire.TLS)],
)  # fmt: skip
def test_what_is_no_start_of_a_session_is_closed(start: Open, nonsense: bytes) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url())

        with pgserver.Client(at) as client:
            client.say(nonsense)
            while client.byte() == b"N":
                pass

    assert server.started == []


def test_sessions_are_few_and_the_next_one_waits(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pgserver.running("trust") as server:
        at = start(server.url(), ", connections: 1")
        with pgserver.Client(at) as first:
            first.start("crm")
            monkeypatch.setattr(port, "_WAIT_SECONDS", 0.1)
            with pgserver.Client(at) as second:
                assert "too many sessions" in text(second.start("crm"))
            monkeypatch.setattr(port, "_WAIT_SECONDS", 60.0)
        with pgserver.Client(at) as third:
            assert third.start("crm")[-1] == (b"Z", b"T")


def test_the_gateway_has_the_port_for_examinations_of_the_right_tenants(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "databases.yaml"
    names = {"KNIFY_DATABASES_FILE": str(file)}
    with pgserver.running("trust") as server:
        for more, there in ((", tenants: [another]", ()), ("", ("databases",))):
            file.write_text(f"crm: {{url: '{server.url()}'{more}}}\n")
            home = tmp_path / f"{len(there)}"
            with rigs.running(redis_url, home, monkeypatch, **names) as rig:
                assert rig.opened(services=("databases",))["services"] == there
                assert rig.opened(services=("browser",))["services"] == ()
                assert len(rig.ports) == 2 * len(there)
                if there:
                    with pgserver.Client(rig.ports[0]) as client:
                        assert client.start("crm")[-1] == (b"Z", b"T")


@pytest.mark.parametrize(
    "words",
    ["SELECT 1", " \n\tselect 1;", "FETCH FORWARD 5 FROM c", 'CLOSE "c"',
     'DECLARE "c" CURSOR FOR SELECT 1'],
)  # fmt: skip
def test_what_reads_may_be_asked(words: str) -> None:
    assert statements.refusal(b"Q", words.encode() + b"\0") is None
    assert statements.refusal(b"P", b"n\0" + words.encode() + b"\0\0\0") is None


@pytest.mark.parametrize(
    "words",
    ["COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "START TRANSACTION", "PREPARE TRANSACTION 'x'",
     "SET x = 1", "RESET ALL", "DISCARD ALL", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1",
     "DELETE FROM t", "CREATE TABLE t ()", "COPY t FROM STDIN", "DO $$ $$", "CALL p()",
     "EXECUTE p", "LISTEN x", "/* SELECT */ COMMIT", "/* /* */ SELECT */ COMMIT",
     "-- SELECT\nCOMMIT", "; COMMIT", "", "\ufeffSELECT 1", "\u00a0SELECT 1", "SELECTED",
     "SELECT_1", "sélect", "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1", "explain SELECT 1",
     "SHOW x", "(SELECT 1)", "WITH a AS (SELECT 1) TABLE a", "TABLE a", "VALUES (1)", "MOVE 1"],
)  # fmt: skip
def test_what_does_more_may_not(words: str) -> None:
    assert statements.refusal(b"Q", words.encode() + b"\0")
    assert statements.refusal(b"P", b"n\0" + words.encode() + b"\0\0\0")


def test_a_query_is_one_statement() -> None:
    assert statements.refusal(b"Q", b"SELECT 1; SELECT 2\0")
    assert statements.refusal(b"Q", b"SELECT 1\0COMMIT\0")
    assert statements.refusal(b"Q", b"SELECT 1;; \n;\0") is None


@pytest.mark.parametrize(
    "yaml",
    [
        "- s3cret", "x", "crm: 3", "crm: {}", "crm: {url: 5}", "a b: 'postgresql://u:s3cret@h/d'",
        "crm: 'mysql://u:s3cret@h/d'", "crm: 'postgresql://u:s3cret@h'",
        "crm: 'postgresql://u:s3cret@h:port/d'", "crm: 'postgresql://:s3cret@h/d'",
        "crm: 'postgresql://u:s3cret@h/d?sslmode=prefer'",
        "crm: 'postgresql://u:s3cret@h/d?options=-c'", "crm: 'postgresql://u:s3cret@h/d?s3cret'",
        "crm: {url: 'postgresql://u:s3cret@h/d', tenants: all}",
        "crm: {url: 'postgresql://u:s3cret@h/d', connections: 0}",
        "crm: {url: 'postgresql://u:s3cret@h/d', more: 1}", "crm: 'postgresql://u:s3cret@a..b/d'",
    ],
)  # fmt: skip
def test_a_wrong_declaration_stops_the_start_and_is_not_shown(tmp_path: Path, yaml: str) -> None:
    file = tmp_path / "databases.yaml"
    file.write_text(yaml)

    with pytest.raises(errors.ConfigError, match="KNIFY_DATABASES_FILE") as wrong:
        declared.load(file)

    assert "s3cret" not in str(wrong.value)


def test_a_declaration_says_where_and_for_whom(tmp_path: Path) -> None:
    file = tmp_path / "databases.yaml"
    file.write_text("crm: postgresql://u:p%40ss@[::1]:6432/my%2Fdb?sslmode=require\n")

    (found,) = declared.load(file).values()

    expected: dict[str, Any] = {"host": "::1", "port": 6432, "database": "my/db", "user": "u"}
    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.password, found.tls, found.is_for("anybody")) == ("p@ss", "require", True)
    assert "p@ss" not in repr(found)
