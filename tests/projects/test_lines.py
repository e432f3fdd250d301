"""Logs of runs: what a window, a filter and a limit let through, wherever the lines lie."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from knify import clock, errors, model
from knify.core import Core
from knify.definitions import Definition
from knify.lifecycle import State
from knify.services import history, lines, packing, schedules
from knify.store import jobkeys, keys
from knify.store.streams import entry_json
from tests.api.parts import Api, Worker
from tests.projects import parts
from tests.projects.parts import PATH

NOON = clock.parse_rfc3339("2026-03-02T12:00:00Z")
Row = tuple[int, str, str]


def printed(
    core: Core, worker: Worker, d: Definition, name: str, rows: list[Row], where: str
) -> None:
    """A run that printed these (ms, stream, text), which now lie in Redis, partly, or packed."""
    schedules.trigger(core, d, {}, id=name)
    x = worker.run(name)
    texts = [
        json.dumps(entry_json(ts, [], n=n, stream=s, line=text), separators=(",", ":"))
        for n, (ts, s, text) in enumerate(rows, 1)
    ]
    x = core.store.executions.append(x, texts, lines=len(texts), out=1, err=1)
    if where != "live":
        while packing.spill(core, name, x.fence, 300):
            pass
    if where in ("ended", "packed"):
        worker.finish(x, random.choice((State.COMPLETED, State.FAILED)))
    _date(core, d, name, rows[0][0] - 5, rows[-1][0] + 5)
    if where == "packed":
        assert packing.pack(core, name)


def _date(core: Core, d: Definition, name: str, began: int, ended: int) -> None:
    """As if it had run then."""
    client, key = core.store.client, keys.execution(name)
    times = {"created_at": began, "started_at": began}
    if client.hexists(key, "completed_at"):
        times["completed_at"] = ended
    client.hset(key, mapping=times)
    client.zadd(jobkeys.runs(d.id), {name: began * 1000})
    parts.ran(core, d, name, began, ended if client.hexists(key, "completed_at") else None)


def look(core: Core, d: Definition, window: lines.Window, **more: Any) -> lines.Found:
    return lines.across(core, d.id, window, **more)


def test_windows_filters_and_limits_let_through_what_they_say_wherever_it_lies(
    core: Core, worker: Worker
) -> None:
    rng, d, known = random.Random(7), parts.definition(core, schedule=None), []
    for n in range(12):
        at, rows = NOON + rng.randrange(60_000), []
        for k in range(rng.randrange(1, 60)):
            at += rng.randrange(1, 400)
            rows.append((at, rng.choice(("stdout", "stderr")), f"{'ä' * (k % 3)}line {n} {k}"))
        printed(core, worker, d, f"run_{n}", rows, ("live", "spilled", "ended", "packed")[n % 4])
        known += [(ts, f"run_{n}", s, text) for ts, s, text in rows]
    known.sort(key=lambda row: row[0])

    for _ in range(60):
        start = NOON + rng.randrange(-2_000, 70_000)
        end = start + rng.randrange(30_000)
        limit = rng.choice((1, 7, 10_000))
        text = rng.choice((None, "ä", "line 3", "/[0-9] [0-9]$/"))
        matches = lines.matcher(text) if text else None

        found = look(core, d, lines.Window(start, end, limit, matches))

        wanted = [r for r in known if start <= r[0] <= end and (not matches or matches(r[3]))]
        got = [(line.ts, line.run_id, line.stream, line.text) for line in found.lines]
        assert [g[0] for g in got][-limit:] == [w[0] for w in wanted[-limit:]]
        assert set(got) <= set(wanted)
        if found.next_end is None:
            assert set(got) == set(wanted)
        else:
            assert set(got) == {row for row in wanted if row[0] > found.next_end}


def test_whoever_goes_on_by_next_end_sees_each_line_once_though_many_have_one_time(
    core: Core, worker: Worker
) -> None:
    d = parts.definition(core, schedule=None)
    history._known.clear()
    for n, where in enumerate(("live", "spilled", "ended", "packed")):
        rows = [(NOON + k // 40, "stdout", f"line {n} {k}") for k in range(100)]
        printed(core, worker, d, f"run_{n}", rows, where)

    for limit in (1, 7, 150, 1_000):
        end: int | None = NOON + 60_000
        seen: list[str] = []
        for _ in range(9):
            found = look(core, d, lines.Window(NOON - 60_000, end or 0, limit))
            seen += [line.text for line in found.lines]
            end = found.next_end
            if end is None:
                break

        assert end is None
        assert len(seen) == 400 and set(seen) == {
            f"line {n} {k}" for n in range(4) for k in range(100)
        }


def test_whoever_goes_on_sees_each_run_however_many_there_are(
    core: Core, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "RUNS", 4)
    monkeypatch.setattr(lines, "_RUNS_PAGE", 2)
    d, read = parts.definition(core, schedule=None), []
    for n in range(15):
        at = NOON + n // 3 * 4_000  # three at a time
        row = (at, "stdout", f"line {n}")
        printed(core, worker, d, f"run_{n:02}", [row], "live" if n in (2, 9) else "ended")
    records = core.store.listing.records

    def counted(names: Sequence[str]) -> list[model.Execution]:
        read.append(len(names))
        return records(names)

    monkeypatch.setattr(core.store.listing, "records", counted)
    seen, most, end = [], 0, NOON + 60_000
    while True:
        read.clear()
        found = look(core, d, lines.Window(NOON - 60_000, end, 1_000))
        seen += [line.text for line in found.lines][::-1]
        most = max(most, sum(read))
        if found.next_end is None:
            break
        assert found.next_end < end
        end = found.next_end

    assert sorted(seen) == sorted(f"line {n}" for n in range(15)) and most < 12


def test_runs_of_a_moment_are_found_without_those_of_others(core: Core) -> None:
    rng, d = random.Random(3), parts.definition(core, schedule=None)
    known = []
    for n in range(300):
        began = NOON + rng.randrange(10**7)
        ended = None if n % 50 == 0 else began + int(10 ** rng.uniform(0, 6))
        parts.ran(core, d, f"run_{n}", began, ended)
        known.append((f"run_{n}", began, ended or 2**60))

    for _ in range(50):
        start = NOON + rng.randrange(10**7)
        end = start + rng.randrange(10**5)

        found = core.store.runs.within(d.id, start, end, 1_000)

        wanted = {name for name, began, ended in known if began <= end and ended >= start}
        assert set(found) >= wanted
        assert all(ended >= start and began <= end for name, began, ended in known if name in found)


def test_what_a_window_excludes_is_not_read(core: Core, worker: Worker) -> None:
    d, read = parts.definition(core, schedule=None), []
    for n in range(6):
        at = NOON + n * 60_000
        rows = [(at + k * 100, "stdout", f"line {k}") for k in range(100)]
        printed(core, worker, d, f"run_{n}", rows, "packed")

    def aside(work: Callable[[], Any]) -> Any:
        read.append(1)
        return work()

    history._known.clear()
    window = lines.Window(NOON + 3 * 60_000 + 5_000, NOON + 3 * 60_000 + 5_090, 100)
    found = look(core, d, window, aside=aside)

    assert [line.text for line in found.lines] == ["line 50"]
    assert len(read) == 3  # its record, one segment, and that segment's lines


def test_an_expression_that_would_backtrack_takes_no_time() -> None:
    matches = lines.matcher("/^(a+)+$/")

    began = time.monotonic()

    assert not matches("a" * 100_000 + "b")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("text", ["/(/", "/\\1/", "/a{1001}/", "x" * 1_001])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        lines.matcher(text)

    assert refused.value.detail == {"field": "filter"}


def test_logs_over_http(api: Api, core: Core, worker: Worker) -> None:
    job = parts.made(api)
    path = f"{PATH}/{job['id']}"
    runs = [api.post(f"{path}/runs").get_json()["data"]["id"] for _ in range(2)]
    for run in runs:
        x = worker.lines(worker.run(run), "hello", "an error", "bye")
        worker.finish(x)

    one = api.get(f"{path}/runs/{runs[0]}/logs").get_json()
    both = api.get(f"{path}/logs?since=15m&limit=2").get_json()
    some = api.get(f"{path}/logs?filter=/^an? e/").get_json()

    assert (one["message"], one["status"], one["next_end"]) == ("Logs", 200, None)
    assert [row["line"] for row in one["data"]] == ["hello", "an error", "bye"]
    assert {row["run_id"] for row in one["data"]} == {runs[0]}
    assert 2 <= len(both["data"]) <= 3 and both["next_end"]
    assert [row["line"] for row in some["data"]] == ["an error"] * 2
    assert {row["stream"] for row in some["data"]} == {"stdout"}


def test_windows_that_cannot_be_are_refused(api: Api) -> None:
    path = f"{PATH}/{parts.made(api)['id']}/logs"
    early, late = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    for query, field in (
        (f"start={late}&end={early}", "end"),
        ("start=2999-01-01T00:00:00Z", "end"),
        (f"since=15m&start={early}", "start"),
        ("since=soon", "since"),
        ("start=15m", "start"),
        ("end=now", "end"),
        ("limit=10001", "limit"),
        ("limit=0", "limit"),
        ("filter=/(/", "filter"),
        ("filter=", "filter"),
        ("tail=5", "tail"),
    ):
        answer = api.get(f"{path}?{query}")

        assert (answer.status_code, answer.get_json()["detail"]["field"]) == (400, field), query
