"""What is out of the ordinary, and how it is shown to people."""

from __future__ import annotations

import json
from pathlib import Path

from knify.agents.exam import findings, source
from tests.exam.conftest import JANUARY, Examine

HOUR = 3_600_000
START = JANUARY[0]


def _rows(*times: int) -> source.Rows:
    rows = source.Rows(source.Wanted("u1", *JANUARY))
    for n, at in enumerate(times):
        rows.add(at, n)
    return rows


def test_a_long_pause_among_short_ones_is_a_gap() -> None:
    often = [START + n * HOUR for n in range(48)]
    later = [often[-1] + 72 * HOUR + n * HOUR for n in range(48)]

    found = findings.of(_rows(*often, *later), 12 * HOUR)

    (gap,) = [a for a in found["anomalies"] if a["kind"] == "gap"]
    assert gap["message"] == "nothing for 3 d"
    assert gap["from"] == "2025-01-02T23:00:00.000Z"


def test_an_hour_with_many_rows_is_a_burst() -> None:
    usual = [START + day * 24 * HOUR + n for day in range(30) for n in range(5)]
    burst = [START + 10 * 24 * HOUR + 1000 + n for n in range(200)]

    found = findings.of(_rows(*usual, *burst), 24 * HOUR)

    (one,) = [a for a in found["anomalies"] if a["kind"] == "burst"]
    assert (one["from"], one["rows"]) == ("2025-01-11T00:00:00.000Z", 205)


def test_even_and_few_rows_are_nothing_special() -> None:
    assert findings.of(_rows(*(START + n * HOUR for n in range(700))), 12 * HOUR)["anomalies"] == []
    assert findings.of(_rows(START, START + 600 * HOUR), 12 * HOUR)["anomalies"] == []
    assert findings.of(_rows(), HOUR)["first"] is None


def test_a_timeline_never_has_more_than_sixty_odd_steps() -> None:
    for span in (0, 1, 1_000, HOUR, 24 * HOUR, 31 * 24 * HOUR, 10**13, 3 * 10**14):
        step = findings.width(source.Wanted("u", 0, span))
        assert step >= 1
        assert span / step <= 62


def test_a_broken_source_is_reported_and_the_others_are_read(
    workspace: Path, examine: Examine
) -> None:
    (workspace / "a.csv").write_text("user_id,at\nu1,2025-01-01T00:00:00Z\n")
    ok = "{kind: csv, path: a.csv, user: user_id, time: at}"

    result = examine(
        f"sources: {{good: {ok}, gone: {{kind: csv, path: x, user: u, time: t}}, wrong: 1}}"
    )

    assert result["summary"] == "1 row in 1 of 3 sources (not read: gone, wrong)"
    kinds = [(event["type"], event.get("status")) for event in result["said"]]
    assert kinds == [
        ("tool_use", None), ("tool_result", "success"),
        ("tool_use", None), ("tool_result", "error"),
        ("tool_use", None), ("tool_result", "error"),
        ("agent_message", None),
    ]  # fmt: skip
    stored = json.loads((workspace / "result.json").read_text())
    assert [one["status"] for one in stored["sources"]] == ["ok", "error", "error"]
    report = (workspace / "report.md").read_text()
    assert "| gone | csv |  |  |  | not read: no file x in the workspace |" in report


def test_the_report_reads_like_one(workspace: Path, examine: Examine) -> None:
    (workspace / "a.csv").write_text("user_id,at\nu1,2025-01-01T00:00:00Z\nu1,never\n")

    examine("sources: {a: {kind: csv, path: a.csv, user: user_id, time: at}}")

    assert (workspace / "report.md").read_text() == (
        "# User u1\n\n"
        "2025-01-01T00:00:00.000Z to 2025-01-31T23:59:59.999Z: "
        "1 row in 1 of 1 sources, 1 out of the ordinary\n\n"
        "| source | kind | rows | first | last | remarks |\n|---|---|--:|---|---|---|\n"
        "| a | csv | 1 | 2025-01-01T00:00:00.000Z | 2025-01-01T00:00:00.000Z | unreadable time |\n"
        "\n## a\n\nOut of the ordinary:\n\n"
        "- unreadable time: 1 rows of the user have no time that can be read\n"
    )


def test_what_data_hold_is_text_in_the_report(workspace: Path, examine: Examine) -> None:
    evil = "<script>x</script>|[a](http://b)`\x1b[31m\n# head"
    quoted = evil.replace('"', '""')
    (workspace / "a.csv").write_text(f'user_id,at,kind\nu1,2025-01-01T00:00:00Z,"{quoted}"\n')

    examine("sources: {a: {kind: csv, path: a.csv, user: user_id, time: at, label: kind}}")

    report = (workspace / "report.md").read_text()
    assert "<script>" not in report
    assert "[a](" not in report
    assert "\x1b" not in report
    assert "\n# head" not in report


def test_results_never_go_through_a_link(workspace: Path, examine: Examine) -> None:
    outside = workspace.parent / "outside"
    outside.write_text("mine")
    for name in ("result.json", "report.md", "timeline.png"):
        (workspace / name).symlink_to(outside)

    examine("sources: {a: 1}")

    assert outside.read_text() == "mine"
    assert json.loads((workspace / "result.json").read_text())["rows"] == 0
