"""Due times against a simulated daemon and a second library; what is no expression."""

from __future__ import annotations

import random
import zoneinfo
from datetime import UTC, datetime, timedelta

import croniter
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knify import clock, cron
from tests.cron import vixie

#: Ordinary, half an hour, the other half of the world, no change at all, changes at midnight.
ZONES = (
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/New_York",
    "Asia/Kolkata",
    "Africa/Cairo",
)
FIRST, LAST = datetime(2024, 1, 1), datetime(2034, 1, 1)
TELLING = [
    "30 2 * * *",
    "0 0 * * *",
    "*/15 * * * *",
    "15 * * * *",
    "5,50 1-3 * * *",
    "59 23 * * *",
    "0 */2 * * *",
    "10 2 29 2 *",
    "45 1 1-7 * SUN",
]


def due(expression: str, zone: str, first: datetime, last: datetime) -> set[int]:
    made = cron.parse(expression, zone)
    start, end = (int(t.replace(tzinfo=UTC).timestamp()) * 1000 for t in (first, last))
    at = made.after(start)
    return set() if at is None else {t // 60_000 for t in made.due(at, end)}


def changes(zone: str) -> list[datetime]:
    """Days before which the zone had another offset, UTC."""
    at = zoneinfo.ZoneInfo(zone)
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days)]
    offsets = [d.replace(tzinfo=UTC).astimezone(at).utcoffset() for d in days]
    return [d for d, o, p in zip(days[1:], offsets[1:], offsets, strict=False) if o != p]


def fields(rng: random.Random) -> str:
    """A random expression that is often due."""
    minute = rng.choice([str(rng.randrange(60)), f"*/{rng.randrange(5, 50)}", "0,30", "10-20/5"])
    low = rng.randrange(23)
    hour = rng.choice(
        ["*", str(rng.randrange(4)), "*/2", f"{low}-{rng.randrange(low + 1, 24)}", "1-3"]
    )
    return " ".join([minute, hour, rng.choice(("* * *", "* * *", "* * 0", "1-9 * 1", "*/2 * *"))])


@pytest.mark.parametrize("zone", ZONES)
def test_around_changes_of_a_zone_it_is_due_when_cron_would_run_it(
    zone: str,
) -> None:
    rng = random.Random(zone)
    for day in rng.sample(changes(zone), min(4, len(changes(zone)))):
        expressions = [*TELLING, *(fields(rng) for _ in range(6))]
        first, last = day - timedelta(hours=28), day + timedelta(hours=5)

        ran = vixie.runs([e.replace("SUN", "0") for e in expressions], zone, first, last)

        for expression, times in zip(expressions, ran, strict=True):
            assert due(expression, zone, first, last) == times, (zone, day, expression)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("zone", ZONES)
def test_all_of_ten_years_it_is_due_when_cron_would_run_it(zone: str) -> None:
    rng = random.Random(zone)
    expressions = [*(e.replace("SUN", "0") for e in TELLING), *(fields(rng) for _ in range(3))]

    ran = vixie.runs(expressions, zone, FIRST, LAST)

    for expression, times in zip(expressions, ran, strict=True):
        assert due(expression, zone, FIRST, LAST) == times, (zone, expression)


@given(seed=st.integers(0, 2**32), minute=st.integers(0, 5_000_000))
@settings(max_examples=30, deadline=None)
def test_without_changes_another_library_finds_the_same(seed: int, minute: int) -> None:
    expression = fields(random.Random(seed))
    first = FIRST + timedelta(minutes=minute)
    theirs = croniter.croniter(
        expression, first.replace(tzinfo=UTC), implement_cron_bug=True, ret_type=float
    )

    at = int(first.replace(tzinfo=UTC).timestamp() * 1000)
    for _ in range(5):
        at = cron.parse(expression, "UTC").after(at) or 0
        assert at == theirs.get_next() * 1000, expression


@given(seed=st.integers(0, 2**32), zone=st.sampled_from(ZONES), hours=st.floats(0.02, 300))
@settings(max_examples=30, deadline=None)
def test_the_latest_is_the_last_of_all(seed: int, zone: str, hours: float) -> None:
    made = cron.parse(fields(random.Random(seed)), zone)
    first = made.after(clock.parse_rfc3339("2026-03-20T00:00:00Z")) or 0
    until = first + int(hours * 3_600_000)

    assert made.latest(first, until) == list(made.due(first, until))[-1]


def test_what_was_skipped_comes_right_behind_the_gap_and_what_is_doubled_once() -> None:
    made = cron.parse("30 2 * * *", "Europe/Berlin")

    spring = made.after(clock.parse_rfc3339("2026-03-28T12:00:00Z"))
    autumn = made.after(clock.parse_rfc3339("2026-10-24T12:00:00Z"))

    assert clock.rfc3339(spring or 0) == "2026-03-29T01:00:00.000Z"
    assert clock.rfc3339(autumn or 0) == "2026-10-25T00:30:00.000Z"
    assert clock.rfc3339(made.after(autumn or 0) or 0) == "2026-10-26T01:30:00.000Z"


def test_a_day_that_never_was_is_left_out() -> None:
    made = cron.parse("0 12 30 12 *", "Pacific/Apia")  # 2011-12-30 is not in its calendar

    assert clock.rfc3339(made.after(clock.parse_rfc3339("2011-12-01T00:00:00Z")) or 0).startswith(
        "2012-12-29"
    )


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("* * * * * *", "has 6 fields; .*leave out the seconds"),
        ("* * *", "has 3 fields"),
        ("", "has 0 fields"),
        ("@reboot", "nothing is due at a reboot"),
        ("@daily", "has to be five fields: instead of @daily write 0 0 [*] [*] [*]"),
        ("0 0 30 2 *", "a day that no such month has"),
        ("0 0 31 4,6,9,11 *", "a day that no such month has"),
        ("60 * * * *", "bad minute: write 0-59"),
        ("* 24 * * *", "bad hour: write 0-23"),
        ("* * * 13 *", "bad month: write 1-12"),
        ("* * * * 8", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("5-1 * * * *", "bad minute"),
        ("٣ * * * *", "bad minute"),
        ("0 " * 101, "longer than 200"),
        ("*/61 * * * *", "bad minute: its steps are 1 to 60"),
        (f"*/{'9' * 20} * * * *", "bad minute: its steps"),
        ("0 0 * */13 *", "bad month: its steps are 1 to 12"),
        ("0\xa00 * * *", "write spaces between its fields"),
        ("0 0 * *\n*", "write spaces between its fields"),
    ],
)
def test_what_is_no_expression_is_told_so(expression: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        cron.parse(expression, "UTC")


@pytest.mark.parametrize("name", ["Europe/Berln", "../etc/passwd", "/etc/localtime", "", "CET/"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        cron.check_zone(name)


def test_an_expression_has_a_sentence() -> None:
    assert cron.sentence("30 4 * * 1-5") == "At 04:30, Monday through Friday"
    assert cron.sentence("*/5 * * * *") == "Every 5 minutes"


def test_the_shortest_way_between_two_due_times_is_found_also_within_one_day_of_many() -> None:
    made = cron.parse("0,10 3 1 * *", "UTC")

    assert made.shortest_ms(clock.parse_rfc3339("2026-01-02T00:00:00Z")) == 600_000


def test_what_comes_more_seldom_than_a_leap_day_is_not_looked_for() -> None:
    at = clock.parse_rfc3339("2096-03-01T00:00:00Z")

    leap = cron.parse("0 0 29 2 *", "Europe/Berlin").after(at)  # 2100 has none
    rare = cron.parse("0 0 * 2 MON#5", "Europe/Berlin").after(at)

    assert clock.rfc3339(leap or 0) == "2104-02-28T23:00:00.000Z"
    assert rare is None
