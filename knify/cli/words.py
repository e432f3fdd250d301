"""What users write on a command line, read: pairs, times, durations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import click

from knify import units


class Filters(TypedDict):
    """Which jobs are wanted."""

    status: Sequence[str] | None
    job_type: str | None
    metadata: dict[str, str]
    created_after: str | None
    created_before: str | None


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` several times."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{option} wants NAME=VALUE, not {one!r}")
        found[name] = value
    return found


def seconds(option: str, text: str | None) -> float | None:
    """A duration such as `90s` or `2h`."""
    try:
        return None if text is None else units.parse_duration(text)
    except ValueError as wrong:
        raise click.UsageError(f"{option}: {wrong}") from wrong


def moment(option: str, text: str | None) -> str | None:
    """An RFC 3339 time, or so long ago."""
    if text is None:
        return None
    try:
        at = datetime.now(UTC) - timedelta(seconds=units.parse_duration(text))
    except ValueError:
        at = _time(option, text)
    return at.isoformat()


def _time(option: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        wanted = "an age such as 2h or 7d, or a time such as 2026-01-31T10:00:00Z"
        raise click.UsageError(f"{option} wants {wanted}, not {text!r}") from None
    return at if at.tzinfo else at.astimezone()
