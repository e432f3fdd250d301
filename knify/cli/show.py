"""What goes to the terminal. Data of jobs is hostile: it is cleaned here and nowhere else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

FORMATS: Final = ("table", "json", "yaml")
#: Colours, cursor moves, window titles: whole sequences say nothing to a reader and are dropped.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
#: Other control characters, text direction overrides and lone surrogates are made visible.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
_TIMES = ("_at", "_since", "_until")  # how fields end that hold one
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean(value: object) -> str:
    """Text for one line of a terminal, which it can neither colour nor move; tabs stay."""
    text = _SEQUENCE.sub("", str(value).rstrip("\r\n"))
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(_visible, text))


def line(text: object, *, err: bool = False, nl: bool = True, **style: Any) -> None:
    """One cleaned line; the style only where the stream is a terminal."""
    click.echo(click.style(clean(text), **style), err=err, nl=nl)


def verbatim(text: str) -> None:
    """One line as the job wrote it, with all its bytes."""
    click.echo((text + "\n").encode("utf-8", "surrogateescape"), nl=False)


def as_json(value: Any, *, compact: bool = False) -> None:
    """A JSON document; it is ASCII, so no control character comes through."""
    click.echo(json.dumps(value, indent=None if compact else 2))


def as_(form: str, value: Any, *, compact: bool = False) -> None:
    """A document in one of FORMATS; `compact`: one of several, a line or a document each."""
    if form == "json":
        return as_json(value, compact=compact)
    import yaml

    # ASCII too: what is no plain letter is escaped.
    text = yaml.safe_dump(value, sort_keys=False, width=1_000, explicit_start=compact)
    return click.echo(text, nl=False)


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    flexible: Sequence[str] = (),
    lesser: Sequence[str] = (),
    below: str | None = None,
    err: bool = False,
) -> None:
    """Aligned columns, one line a row.

    On a terminal that is too narrow the column `below` takes a line of its own, then the `lesser`
    ones go, first the first; the `flexible` ones are cut. All others are whole, however narrow.
    """
    from knify.cli import tables

    stream = sys.stderr if err else sys.stdout
    cells = [[clean("" if one is None else one).replace("\t", " ") for one in row] for row in rows]
    made = tables.Cells(tuple(columns), cells, tuple(flexible))
    for text in made.lines(stream, lesser, below):
        click.echo(text, err=err)


def when(moment: str | None) -> str:
    """A time of the server's: how far away for eyes, as it is for programs."""
    if not moment or not sys.stdout.isatty():
        return moment or ""
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return moment
    age = abs(seconds)
    unit, length = next((u for u in _UNITS if age >= u[1]), ("s", 1))
    return f"{age / length:.0f}{unit} ago" if seconds >= 0 else f"in {age / length:.0f}{unit}"


def clock(moment: str | None) -> str:
    """A time of the server's: the wall clock's for eyes, as it is for programs."""
    if not moment or not sys.stdout.isatty():
        return moment or ""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return moment


def facts(pairs: Mapping[str, object]) -> None:
    """Names and values below each other; what is None or empty is left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [], {}, ())}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if name.endswith(_TIMES) and (age := when(text)) != text:
            text = f"{clock(text)}, {age}"
        first, *more = text.split("\n")
        click.echo(f"{click.style(f'{name:{width}}', dim=True)}  {clean(first)}")
        for rest in more:
            click.echo(f"{'':{width}}  {clean(rest)}")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
