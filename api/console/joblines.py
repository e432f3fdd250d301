"""A job's output as rows of a terminal: by range, one whole, searched, and live.

Each entry of the output is one row, so that a row's number says where it is: a line, or what was
told without one, such as that a step began.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import flask

from api import aside, context, downloads, streams
from api.console import blueprint
from api.jobs import view
from api.output import view as output_view
from api.pages import Position
from api.streams import SSE, Frame
from knify import errors, model
from knify.core import Core
from knify.lifecycle import TERMINAL
from knify.services import history, lines
from knify.store.streams import Entry

MOST: Final = 500  # rows of one answer
CUT: Final = 2_000  # characters of a line that a row shows
_WHOLE: Final = 4_000_000  # of one that is asked for
_HITS: Final = 20_000  # rows that a search finds
_SEARCH_SECONDS: Final = 20.0
_PIECE: Final = 64 * 1024
_FIRST: Final = 50  # entries that are read at once, until it is known how long they are
_AT_ONCE: Final = 1024**2  # characters of them: reading more would make other requests wait
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;:?<-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
Row = list[Any]


def row(entry: Entry) -> Row:
    """`[number of the row, of the line, o(ut) | e(rr) | m(ark), text, length if cut, note]`."""
    told = [text for event in entry.events if (text := _told(event))]
    if entry.line is None:
        return [entry.seq, None, "m", " · ".join(told)[:CUT], 0, ""]
    length = len(entry.line)
    kind = "e" if entry.stream == "stderr" else "o"
    text = entry.line[:CUT]
    return [entry.seq, entry.n, kind, text, length if length > CUT else 0, " · ".join(told)[:200]]


def rows(core: Core, x: model.Execution, after: int, most: int) -> list[Row]:
    """At most so many behind a row."""
    found: list[Row] = []
    for entries in _read(core, x, after, most):
        found += map(row, entries)
    return found


def _read(
    core: Core, x: model.Execution, after: int, most: int | None = None
) -> Iterator[list[Entry]]:
    """At most so many entries behind a row, a few at a time."""
    read, step = aside.reader(x.tenant), _FIRST
    while most is None or most > 0:
        step = step if most is None else min(step, most)
        entries, _ = history.page(core, x.id, after=after, most=step, aside=read)
        if not entries:
            return
        yield entries
        after, most = entries[-1].seq, None if most is None else most - len(entries)
        mean = sum(len(entry.line or "") for entry in entries) // len(entries) + 100
        step = max(1, min(MOST, _AT_ONCE // mean))


def _told(event: Mapping[str, Any]) -> str:
    """What an event without a line says; of those that stand for their line, nothing."""
    kind, parameters = event.get("type"), event.get("parameters")
    if kind == "tool_use":
        given = parameters if isinstance(parameters, dict) else {}
        about = next((str(given[n]) for n in ("command", "path") if given.get(n)), "")
        return f"$ {_line(about)}" if about else str(event.get("tool", ""))
    if kind == "tool_result":
        code, took = event.get("exit_code"), event.get("duration_ms")
        parts = [str(event.get("status", "")), "" if code is None else f"exit code {code}"]
        parts += [f"{took / 1000:.1f} s"] if isinstance(took, int) else []
        return ", ".join(part for part in parts if part)
    if kind in ("agent_message", "error", "warning"):
        return _line(str(event.get("message", "")))
    if kind == "completed":
        return _line(f"{event.get('status', '')} {event.get('error') or ''}".strip())
    return ""


def _line(text: str) -> str:
    first, _, rest = text.strip().partition("\n")
    return first + (" …" if rest else "")


@blueprint.page("/jobs/<job_id>/lines")
def get_lines(job_id: str) -> flask.Response:
    """Some rows behind `after`."""
    core, x = context.core(), find(job_id)
    after, most = _number("after", 0), min(_number("most", MOST), MOST)
    return flask.jsonify({"rows": rows(core, x, after, most), "total": x.entries})


@blueprint.page("/jobs/<job_id>/lines/<int:seq>")
def get_line(job_id: str, seq: int) -> flask.Response:
    """One whole line."""
    core, x = context.core(), find(job_id)
    after, read = min(max(0, seq - 1), x.entries), aside.reader(x.tenant)
    found, _ = history.page(core, x.id, after=after, most=1, aside=read)
    if not found or found[0].seq != seq or found[0].line is None:
        raise errors.NotFound(f"{x.id} has no line there")
    text = found[0].line
    return flask.jsonify({"text": text[:_WHOLE], "length": len(text)})


@blueprint.page("/jobs/<job_id>/output.txt")
def get_output(job_id: str) -> flask.Response:
    """All lines as a file."""
    core, x = context.core(), find(job_id)
    return downloads.attachment(_all(core, x), f"{x.id}.txt", "text/plain; charset=utf-8")


def _all(core: Core, x: model.Execution) -> Iterator[bytes]:
    piece, size = [], 0
    for entry in itertools.chain.from_iterable(_read(core, x, 0)):
        if entry.line is not None:
            piece.append(entry.line.encode("utf-8", "replace") + b"\n")
            size += len(piece[-1])
        if size > _PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join(piece)


@blueprint.page("/jobs/<job_id>/search")
def get_search(job_id: str) -> flask.Response:
    """The rows whose line holds `q`, in any case, or matches it when it is `/an expression/`."""
    core, x = context.core(), find(job_id)
    text = flask.request.args.get("q", "")
    try:
        matches = _matcher(text)
    except errors.BadRequest as wrong:
        return flask.make_response({"problem": wrong.message}, 400)
    return flask.jsonify(_search(core, x, matches))


def _matcher(text: str) -> Callable[[str], bool]:
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return lines.matcher(text)
    wanted = text[: lines.MOST_FILTER].lower()
    return lambda line: wanted in line.lower()


def _search(core: Core, x: model.Execution, matches: Callable[[str], bool]) -> dict[str, Any]:
    found: list[int] = []
    after, end = 0, time.monotonic() + _SEARCH_SECONDS
    for entries in _read(core, x, after):
        found += [e.seq for e in entries if e.line is not None and matches(_plain(e.line))]
        after = entries[-1].seq
        if after >= x.entries or len(found) >= _HITS or time.monotonic() > end:
            break
    return {"rows": found[:_HITS], "whole": after >= x.entries and len(found) <= _HITS}


def _plain(line: str) -> str:
    """The line without what colours it."""
    return _ESCAPES.sub("", line) if "\x1b" in line else line


@blueprint.page("/jobs/<job_id>/stream")
def get_stream(job_id: str) -> flask.Response:
    """What happens behind `after` (events.rows): events, and rows if they are wanted."""
    wants_rows = flask.request.args.get("rows") == "1"
    return streams.respond(Live(context.core(), find(job_id), rows=wants_rows), (0, 0))


class Live:
    """See `streams.Source`: history and output together; a position counts both."""

    dotted, style = True, SSE

    def __init__(self, core: Core, x: model.Execution, *, rows: bool) -> None:
        self.x, self.newest = x, x.events
        self.kind = "console rows" if rows else "console"
        self._core, self._rows = core, rows
        self._most = _FIRST

    def page(self, after: Position) -> tuple[Sequence[Frame], bool]:
        """See `Source`. Events are read first: when the last one is there, all output is."""
        seen, read_to = after
        read = aside.reader(self.x.tenant)
        events = list(
            history.events(
                self._core, self.x.id, after=seen, most=output_view.PAGE, aside=read
            )
        )  # fmt: skip
        entries, more = history.page(
            self._core, self.x.id, after=read_to, most=self._most, aside=read
        )
        self._most = output_view.fitting(entries, self._most)
        if more and entries:
            events = [e for e in events if e.state not in TERMINAL]
        if not events and not entries:
            return [], False
        place = (events[-1].n if events else seen, entries[-1].seq if entries else read_to)
        data: dict[str, Any] = {"entries": place[1], "events": [view.event(e) for e in events]}
        if self._rows:
            data["rows"] = [row(e) for e in entries]
        last = any(e.state in TERMINAL for e in events)
        return [Frame(place, f"{place[0]}.{place[1]}", data, last=last)], more

    def over(self) -> bool:
        """See `Source`."""
        return output_view.is_over(self._core, self.x)


def find(job_id: str) -> model.Execution:
    """The job. NotFound, also when it is another tenant's."""
    return context.core().store.executions.get(job_id, tenant=context.tenant())


def _number(name: str, default: int) -> int:
    text = flask.request.args.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 16 else default
