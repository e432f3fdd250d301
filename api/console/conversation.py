"""What an agent said and did as what a page shows: messages, tool calls with results, notices."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from api import aside
from api.console import diffs, markdown
from knify import model
from knify.core import Core
from knify.services import history
from knify.store.streams import Entry

WINDOW: Final = 400  # entries of one page
_AT_ONCE: Final = 50  # of them that are read at once
_MARKED_UP: Final = 200_000  # characters of a page that are read as Markdown; the rest is plain
_SECONDS: Final = 0.5  # of a processor for all of that; then the rest is plain
_NODES: Final = 10_000  # of all that is Markdown
_QUICK: Final = 1_000  # characters that are read where they are
_PAGE: Final = 2_000_000  # characters of a page, about; one that would be longer has fewer entries
_LINES: Final = 200  # of what was printed, shown where it was
_LONGEST: Final = 2_000  # characters of such a line
#: The parameter that says best what a call is about.
_TELLING: Final = (
    "command", "path", "pattern", "query", "url", "prompt", "description", "glob", "name",
)  # fmt: skip
_NOTICES: Final = {"error": "error", "warning": "warning"}


@dataclass(frozen=True, slots=True)
class Result:
    """How a tool call ended."""

    status: str
    output: str
    exit_code: int | None = None
    milliseconds: int | None = None


@dataclass(slots=True)
class Item:
    """One thing that is shown: `message`, `tool`, `result`, `lines`, `file`, `notice`, `end`."""

    kind: str
    seq: int  # of its entry
    ts: int  # ms
    text: str = ""
    body: tuple[markdown.Node, ...] = ()  # of a message, unless it is too long
    id: str = ""  # of a tool call, and of its result
    tool: str = ""
    parameters: list[tuple[str, str]] = field(default_factory=list)
    diff: list[diffs.Line] = field(default_factory=list)
    result: Result | None = None
    level: str = ""  # of a notice; of the end its status
    lines: list[str] = field(default_factory=list)
    count: int = 0  # how many lines there were


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a conversation."""

    items: list[Item]
    first: int  # it begins behind this entry
    last: int  # and ends with this one


def before(core: Core, x: model.Execution, end: int) -> Page:
    """The part that ends with this entry."""
    return _page(core, x, max(0, end - WINDOW), end, backwards=True)


def behind(core: Core, x: model.Execution, after: int) -> Page:
    """What came behind this entry, or the first part of it."""
    return _page(core, x, after, after + WINDOW, backwards=False)


def _page(core: Core, x: model.Execution, first: int, end: int, *, backwards: bool) -> Page:
    """What fits of these entries: the last of them, or the first."""
    read, found = aside.reader(x.tenant), deque[Entry]()
    last, size = first, 0
    while last < end:
        entries, _ = history.page(
            core, x.id, after=last, most=min(_AT_ONCE, end - last), aside=read
        )
        if not entries:
            break
        last = entries[-1].seq
        found += [entry for entry in entries if entry.seq <= end]
        size += sum(map(_size, entries))
        while size > _PAGE and len(found) > 1:
            left_out = found.popleft() if backwards else found.pop()
            size -= _size(left_out)
            if backwards:
                first = left_out.seq
            else:
                last = end = left_out.seq - 1
    return Page(_parsed(x.tenant, found, size), first, min(last, end))


def _parsed(tenant: str, found: Sequence[Entry], size: int) -> list[Item]:
    return items(found) if size < _QUICK else aside.parser(tenant)(lambda: items(found))


def _size(entry: Entry) -> int:
    """About how many characters it has on a page."""
    return sum(map(_length, entry.events))


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _length(one) + 20 for name, one in value.items())
    return sum(map(_length, value)) + 2 if isinstance(value, list) else 8


def items(entries: Iterable[Entry]) -> list[Item]:
    """What these entries tell; a result stands with its call, if that is among them."""
    made: list[Item] = []
    open_calls: dict[str, Item] = {}
    left, nodes, room = _MARKED_UP, _NODES, diffs.Room()
    end = time.thread_time() + _SECONDS
    for entry in entries:
        for event in entry.events:
            one = _item(entry, event, room)
            if one is None:
                continue
            if one.kind == "message" and len(one.text) <= left and time.thread_time() < end:
                left -= len(one.text)
                one.body = markdown.tree(one.text, nodes)
                nodes -= markdown.count(one.body)
            call = open_calls.pop(one.id, None) if one.kind == "result" else None
            if call is not None:
                call.result = one.result
            elif one.kind == "lines" and made and made[-1].kind == "lines":
                _join(made[-1], one)
            else:
                made.append(one)
            if one.kind == "tool":
                open_calls[one.id] = one
    return made


def _join(to: Item, one: Item) -> None:
    to.count += one.count
    to.lines = [*to.lines, *one.lines][-_LINES:]


def _item(entry: Entry, event: Mapping[str, Any], room: diffs.Room) -> Item | None:
    kind, at = event.get("type"), (entry.seq, entry.ts)
    if kind == "agent_message":
        return Item("message", *at, text=_text(event, "message"))
    if kind == "tool_use":
        return _call(at, event, room)
    if kind == "tool_result":
        return Item("result", *at, id=_text(event, "id"), result=_result(event))
    if kind == "progress":
        return Item("lines", *at, lines=[_text(event, "message")[:_LONGEST]], count=1)
    if kind == "file_created":
        return Item("file", *at, text=_text(event, "path"))
    if kind in _NOTICES:
        words = _text(event, "message")
        return Item("notice", *at, text=words, level=_NOTICES[kind], id=_text(event, "code"))
    if kind == "completed":
        return Item("end", *at, text=_text(event, "error"), level=_text(event, "status"))
    return None


def _call(at: tuple[int, int], event: Mapping[str, Any], room: diffs.Room) -> Item:
    given = event.get("parameters")
    parameters = given if isinstance(given, dict) else {}
    tool = _text(event, "tool")
    one = Item("tool", *at, id=_text(event, "id"), tool=tool)
    one.diff = diffs.of_call(tool, parameters, room)
    one.text = _about(parameters)
    one.parameters = [
        (str(name), _shown(value))
        for name, value in parameters.items()
        if not (one.diff and (name in diffs.TAKEN or value == one.text))
    ]
    return one


def _about(parameters: Mapping[str, Any]) -> str:
    for name in _TELLING:
        found = parameters.get(name)
        if isinstance(found, str) and found.strip():
            line = found.strip().splitlines()[0]
            return line[:200]
    return ""


def _result(event: Mapping[str, Any]) -> Result:
    code, took = event.get("exit_code"), event.get("duration_ms")
    return Result(
        _text(event, "status") or "success",
        _text(event, "output"),
        code if isinstance(code, int) else None,
        took if isinstance(took, int) else None,
    )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _text(event: Mapping[str, Any], name: str) -> str:
    found = event.get(name)
    return found if isinstance(found, str) else ""
