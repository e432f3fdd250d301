"""An examination on real parts: the data image, a workspace with exports, a report with a plot."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest

from knify import settings as settings_module
from knify.client import Client
from knify.host import images
from tests.parts import postgres
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "user-exam"
JANUARY = {"from": "2025-01-01T00:00:00Z", "to": "2025-01-31T23:59:59Z"}
PASSWORD = "pg-passw0rd-outside"
ROWS = 200_000  # of each of the kinds that are files
MORE = 100_000  # of the service, and of the database: a million in all
SOURCES = """
sources:
  a: {kind: csv, path: a.csv, user: user_id, time: at, label: kind}
  b: {kind: parquet, path: a.parquet, user: user_id, time: at}
  c: {kind: ndjson, path: a.ndjson, user: user_id, time: at}
  d: {kind: sqlite, path: a.db, table: events, user: user_id, time: at}
  e: {kind: http, url: 'http://crm.test/?u={user_id}', user: user_id, time: at}
  f: {kind: postgres, connection: crm, table: app.events, user: user_id, time: at, label: kind}
"""
TABLE = f"""
CREATE SCHEMA app;
CREATE TABLE app.events AS SELECT 'user_' || (i % 4) AS user_id, 'k' || (i % 7) AS kind,
  timestamptz '2025-01-01Z' + i * interval '10 seconds' AS at FROM generate_series(0, {MORE} - 1) i;
CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA app TO reader;
GRANT SELECT ON app.events TO reader;
"""


class _Service(BaseHTTPRequestHandler):
    """Answers each question with the same rows."""

    rows = json.dumps(
        [{"user_id": f"user_{n % 4}", "at": 1_735_689_600 + n} for n in range(MORE)]
    ).encode()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.rows)))
        self.end_headers()
        self.wfile.write(self.rows)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack_part.Stack]:
    """An installation on a host that has the data image, a service and a database."""
    images.ensure(settings_module.load(), "data", lambda _: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        hosts = f"crm.test=127.0.0.1:{service.server_port}"
        with postgres.running() as database:
            database.sql(TABLE)
            declared = tmp_path_factory.mktemp("operator") / "databases.yaml"
            declared.write_text(f"crm: {database.url('reader', PASSWORD)}\n")
            own = {"KNIFY_EGRESS_HOSTS": hosts, "KNIFY_DATABASES_FILE": str(declared)}
            with stack_part.running(**own) as running:
                yield running
        service.shutdown()


def _examine(client: Client, folder: Path, user_id: str, **more: object) -> str:
    workspace = client.upload_workspace(folder, folder.name)
    spec = {"job_type": "user_exam", "user_id": user_id, "time_range": JANUARY} | more
    job = client.create_job(spec | {"workspace_path": workspace["path"]})
    return client.wait(job.job_id, timeout=300).id


def test_the_example_is_examined_and_its_report_has_a_plot(client: Client, tmp_path: Path) -> None:
    job = client.job(_examine(client, EXAMPLE, "user_12345"))

    assert (job.status, job.error) == ("completed", None)
    assert (job.image_digest or "").startswith("sha256:")
    assert {"report.md", "result.json", "timeline.png"} <= set(job.files)
    result = parts.content(client, job.id, "result.json")
    assert {one["name"]: one["status"] for one in result["sources"]} == {
        "orders": "ok", "clicks": "ok", "logins": "ok", "crm": "error",
    }  # fmt: skip
    odd = {one["name"]: {a["kind"] for a in one.get("anomalies", [])} for one in result["sources"]}
    assert odd["logins"] == {"unreadable_time", "gap"}
    assert "burst" in odd["clicks"]
    picture = client.download(job.id, "timeline.png", tmp_path).file.read_bytes()
    assert picture.startswith(b"\x89PNG")
    events = client.output(job.id)
    assert [e["type"] for e in events][:2] == ["tool_use", "tool_result"]
    assert events[-1]["result"] == result["summary"]


def test_a_million_rows_of_six_kinds_are_read_whole(client: Client, tmp_path: Path) -> None:
    _fill(tmp_path / "big")
    out = {"network_mode": "outbound", "allowed_hosts": ["crm.test"]}

    job = client.job(_examine(client, tmp_path / "big", "user_1", **out))

    assert (job.status, job.error) == ("completed", None)
    result = parts.content(client, job.id, "result.json")
    assert [one.get("rows") for one in result["sources"]] == [ROWS // 4] * 4 + [MORE // 4] * 2
    assert all(one["timeline"] and one["first"] < one["last"] for one in result["sources"])
    report = parts.content(client, job.id, "report.md")
    assert "![Rows of all sources over time](timeline.png)" in report
    assert all(f"\n## {name}\n" in report for name in "abcdef")
    picture = client.download(job.id, "timeline.png", tmp_path).file.read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_a_database_is_read_by_who_does_not_know_its_password(
    client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    rest = "user: user_id, time: at}"
    names = {"f": "crm, table: app.events", "g": "crm, table: app.none", "h": "hr, table: a.b"}
    lines = [f"  {n}: {{kind: postgres, connection: {of}, {rest}" for n, of in names.items()]
    (folder / "sources.yaml").write_text("\n".join(["sources:", *lines]))

    job = client.job(_examine(client, folder, "user_1"))  # isolated

    assert (job.status, job.error) == ("completed", None)
    result = parts.content(client, job.id, "result.json")
    read, missing, unknown = result["sources"]
    assert (read["status"], read["rows"]) == ("ok", MORE // 4)
    assert 'relation "app.none" does not exist' in missing["error"]
    assert "there is no database hr" in unknown["error"]
    told = [str(client.output(job.id)), str(client.events(job.id)), str(result)]
    assert not [text for text in told if PASSWORD in text]


def _fill(folder: Path) -> None:
    folder.mkdir()
    (folder / "sources.yaml").write_text(SOURCES)
    moment = "strftime(TIMESTAMP '2025-01-01' + INTERVAL (i * 10) SECOND, '%Y-%m-%dT%H:%M:%SZ')"
    columns = f"'user_' || (i % 4) AS user_id, {moment} AS at, 'k' || (i % 7) AS kind, i AS n"
    with duckdb.connect() as connection:
        rows = f"SELECT {columns} FROM range({ROWS}) t(i)"
        for ending, form in (("csv", "HEADER"), ("parquet", "FORMAT parquet"),
                             ("ndjson", "FORMAT json")):  # fmt: skip
            connection.execute(f"COPY ({rows}) TO '{folder}/a.{ending}' ({form})")
        found = connection.execute(rows).fetchall()
    with sqlite3.connect(folder / "a.db") as database:
        database.execute("CREATE TABLE events (user_id, at, kind, n)")
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", found)
    database.close()
