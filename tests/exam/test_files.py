"""CSV, Parquet and NDJSON: only the user's rows of the time, whatever else the files hold."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.exam.conftest import Examine, failed, only

CSV = "sources: {a: {kind: csv, path: '*.csv', user: user_id, time: at, label: kind}}"
NDJSON = "sources: {a: {kind: ndjson, path: 'a.ndjson', user: user/id, time: /when/at}}"


def test_rows_of_the_user_in_the_range_are_counted_and_no_others(
    workspace: Path, examine: Examine
) -> None:
    (workspace / "a.csv").write_text(
        "user_id,at,kind\n"
        "u1,2025-01-01T00:00:00Z,login\n"
        "u1,2025-01-02T03:04:05+02:00,login\n"
        "u1,1736000000,buy\n"
        "u1,2025-02-01T00:00:00Z,late\n"
        "u1,2024-12-31T23:59:59.999Z,early\n"
        "u1,never,odd\n"
        "u11,2025-01-01T00:00:00Z,other\n"
        "U1,2025-01-01T00:00:00Z,other\n"
    )

    found = only(examine(CSV))

    assert (found["rows"], found["outside_range"]) == (3, 2)
    assert found["first"] == "2025-01-01T00:00:00.000Z"
    assert found["last"] == "2025-01-04T14:13:20.000Z"
    assert found["labels"] == {"login": 2, "buy": 1}
    assert [a["kind"] for a in found["anomalies"]] == ["unreadable_time"]
    assert sum(part["rows"] for part in found["timeline"]) == 3


def test_both_ends_of_the_range_belong_to_it(workspace: Path, examine: Examine) -> None:
    (workspace / "a.csv").write_text(
        "user_id,at,kind\nu1,2025-01-01T00:00:00Z,\nu1,2025-01-31T23:59:59.999Z,\n"
    )

    assert only(examine(CSV))["rows"] == 2


def test_an_id_with_zeros_in_front_is_another_one(workspace: Path, examine: Examine) -> None:
    (workspace / "a.csv").write_text(
        "user_id,at,kind\n007,2025-01-01T00:00:00Z,\n7,2025-01-01T00:00:00Z,\n"
    )

    assert only(examine(CSV, user_id="7"))["rows"] == 1


@pytest.mark.parametrize("user_id", ["' OR 1=1 --", "u1' OR 'a'='a", '"; DROP TABLE mine; --'])
def test_an_id_is_never_a_part_of_a_query(workspace: Path, examine: Examine, user_id: str) -> None:
    (workspace / "a.csv").write_text("user_id,at,kind\nu1,2025-01-01T00:00:00Z,\n")

    assert only(examine(CSV, user_id=user_id))["rows"] == 0


def test_names_of_columns_are_names_whatever_they_hold(workspace: Path, examine: Examine) -> None:
    name = 'a"b) OR 1=1 --'
    quoted = name.replace('"', '""')
    (workspace / "a.csv").write_text(f'"{quoted}",at\nu1,2025-01-01T00:00:00Z\nu2,2025-01-01\n')

    found = only(examine(f"sources: {{a: {{kind: csv, path: a.csv, user: '{name}', time: at}}}}"))

    assert found["rows"] == 1


def test_a_file_whose_name_looks_like_a_query_is_a_file(workspace: Path, examine: Examine) -> None:
    (workspace / "it's.csv").write_text("user_id,at,kind\nu1,2025-01-01T00:00:00Z,\n")

    assert only(examine(CSV))["rows"] == 1


def test_broken_and_doubled_rows_are_told(workspace: Path, examine: Examine) -> None:
    (workspace / "a.csv").write_text(
        "user_id,at,kind\n"
        "u1,2025-01-01T00:00:00Z,a\n"
        "u1,2025-01-01T00:00:00Z,a\n"
        "u1,2025-01-02T00:00:00Z,b,too,many\n"
    )

    found = only(examine(CSV))

    assert found["rows"] == 2
    kinds = {a["kind"]: a["rows"] for a in found["anomalies"]}
    assert kinds == {"unreadable_row": 1, "duplicate": 1}


def test_members_of_json_are_found_by_name_and_by_pointer(
    workspace: Path, examine: Examine
) -> None:
    (workspace / "a.ndjson").write_text(
        '{"user/id": "u1", "when": {"at": "2025-01-01T00:00:00Z"}}\n'
        '{"user/id": "u1", "when": {"at": 1736000000123}}\n'
        '{"user/id": "u1", "when": 3}\n'
        '{"user/id": ["u1"]}\n[1]\nnot json\n'
    )

    found = only(examine(NDJSON))

    assert found["rows"] == 2
    assert found["last"] == "2025-01-04T14:13:20.123Z"
    kinds = {a["kind"]: a["rows"] for a in found["anomalies"]}
    assert kinds == {"unreadable_time": 1, "unreadable_row": 1}


@pytest.mark.parametrize(
    "time",
    ["TIMESTAMP '2025-01-05 10:00:00'", "TIMESTAMPTZ '2025-01-05 12:00:00+02'",
     "1736071200", "1736071200000", "1736071200000000", "'2025-01-05 10:00:00'"],
)  # fmt: skip
def test_parquet_has_times_of_many_types(workspace: Path, examine: Examine, time: str) -> None:
    with duckdb.connect() as connection:
        rows = f"SELECT 'u' || i AS user_id, {time} AS at FROM range(3) t(i)"
        connection.execute(f"COPY ({rows}) TO '{workspace}/a.parquet' (FORMAT parquet)")

    found = only(examine("sources: {a: {kind: parquet, path: a.parquet, user: user_id, time: at}}"))

    assert (found["rows"], found["first"]) == (1, "2025-01-05T10:00:00.000Z")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.csv", "a/../../x.csv", "http://h/x.csv"])
def test_nothing_outside_the_workspace_is_read(
    workspace: Path, examine: Examine, path: str
) -> None:
    (workspace.parent / "x.csv").write_text("user_id,at,kind\nu1,2025-01-01T00:00:00Z,\n")

    assert "workspace" in failed(
        examine(f"sources: {{a: {{kind: csv, path: '{path}', user: user_id, time: at}}}}")
    )


def test_a_link_out_of_the_workspace_is_not_followed(workspace: Path, examine: Examine) -> None:
    (workspace.parent / "x.csv").write_text("user_id,at,kind\nu1,2025-01-01T00:00:00Z,\n")
    (workspace / "a.csv").symlink_to(workspace.parent / "x.csv")

    assert failed(examine(CSV)) == "no file *.csv in the workspace"


@pytest.mark.parametrize("content", [b"", b"\0\xff\xfe" * 100, b"PAR1PAR1", b"a,b\n1,2\n"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_is_none_of_its_kind_says_why(
    workspace: Path, examine: Examine, kind: str, content: bytes
) -> None:
    (workspace / "a.bin").write_bytes(content)

    why = failed(examine(f"sources: {{a: {{kind: {kind}, path: a.bin, user: user_id, time: at}}}}"))

    assert why and "\n" not in why
