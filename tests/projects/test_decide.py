"""What due times come to at one moment: pure."""

from __future__ import annotations

from typing import Any

import pytest

from knify import clock, definitions
from knify.definitions import Definition

T = clock.parse_rfc3339
NOON = T("2026-03-02T12:00:00Z")
MINUTE = 60_000


def definition(**fields: Any) -> Definition:
    known = {"id": "d", "tenant": "t", "project": "p", "name": "n", "request": {}}
    return Definition(**(known | {"schedule": "* * * * *", "next_at": NOON} | fields))


@pytest.mark.parametrize("catch_up", definitions.CATCH_UPS)
def test_on_time_a_due_time_makes_its_run(catch_up: str) -> None:
    plan = definitions.decide(definition(catch_up=catch_up), NOON + 15)

    assert (plan.times, plan.skipped) == ([NOON], None)
    assert (plan.next_at, plan.last_at) == (NOON + MINUTE, NOON)


def test_before_its_time_nothing_happens() -> None:
    plan = definitions.decide(definition(), NOON - 1)

    assert plan == definitions.Plan(NOON, 0)


@pytest.mark.parametrize(
    ("catch_up", "late", "runs"),
    [
        ("latest", 10.75, [10]),
        ("none", 10.75, []),
        ("none", 10.4, [10]),
        ("all", 3.75, [0, 1, 2, 3]),
        ("all", 250.0, list(range(151, 251))),
    ],
)
def test_what_was_missed_is_made_up_for_as_the_job_says(
    catch_up: str, late: float, runs: list[int]
) -> None:
    now = NOON + int(late * MINUTE)

    plan = definitions.decide(definition(catch_up=catch_up), now)

    assert plan.times == [NOON + n * MINUTE for n in runs]
    assert plan.next_at == NOON + (int(late) + 1) * MINUTE
    assert bool(plan.skipped) == (len(runs) != int(late) + 1)


@pytest.mark.parametrize(("deadline", "runs"), [(30, 0), (90, 1), (125, 2)])
def test_a_deadline_counts_for_each_time(deadline: int, runs: int) -> None:
    late = definition(schedule="*/1 * * * *", starting_deadline_seconds=deadline, catch_up="all")

    plan = definitions.decide(late, NOON + 5 * MINUTE + 45_000)

    assert plan.times == [NOON + n * MINUTE for n in range(6 - runs, 6)]


def test_a_year_of_minutes_is_made_up_for_at_once() -> None:
    plan = definitions.decide(definition(catch_up="all"), NOON + 366 * 1440 * MINUTE)

    assert len(plan.times) == definitions.MOST_AT_ONCE


def test_jitter_is_the_same_moment_each_time() -> None:
    d = definition(jitter_seconds=600)
    jitter = d.jitter_ms

    assert 0 < jitter < 600_001 and jitter == d.jitter_ms
    assert definitions.decide(d, NOON + jitter - 1).times == []
    assert definitions.decide(d, NOON + jitter).times == [NOON]
    assert definition(id="e", jitter_seconds=600).jitter_ms != jitter


def test_what_is_suspended_or_has_no_schedule_is_never_due() -> None:
    assert definition(suspended=True).planned(NOON) is None
    assert definition(schedule=None).planned(NOON) is None


def test_a_time_that_is_done_with_never_comes_again_when_the_clock_steps_back() -> None:
    d = definition(last_at=NOON)

    assert d.planned(NOON - 3_600_000) == NOON + MINUTE
