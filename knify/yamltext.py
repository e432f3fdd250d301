"""A YAML document as JSON's values: what programs may write for us, and no more.

It is read event by event by libyaml, so that nothing is made of a document that is too large: of
aliases that stand for aliases, and of deep ones. Plain words mean what they do in YAML 1.2 (`no` is
a word); tags make nothing, a name stands once in a mapping.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1024**2
MAX_SIZE: Final = 4 * 1024**2  # of all together; an alias counts as all that it stands for
VALUE_SIZE: Final = 200  # of each scalar, list, mapping and name, besides its characters
MAX_DEPTH: Final = 64
_PLACES: Final = 20_000  # among which a path is looked for
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(text: str) -> Any:
    """The one document. ValueError says what is wrong, and in which line."""
    try:
        return _Reader(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.YAMLError as failed:
        raise ValueError(_words(failed)) from failed
    except RecursionError as failed:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from failed


def line(text: str, path: str) -> int | None:
    """The line, from 1 on, of a dotted path of names and numbers, or of what is above it."""
    try:
        known = dict(itertools.islice(_places(text), _PLACES))
    except yaml.YAMLError:
        return None
    while path:
        if path in known:
            return known[path]
        path = path.rpartition(".")[0]
    return None


def _places(text: str) -> Iterator[tuple[str, int]]:
    """Of each name and each item of a list: its path, and its line."""
    above: list[list[Any]] = []  # [is a list, how many values there were, the last one's name]
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            above.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        if above:
            top = above[-1]
            is_list, count, _ = top
            top[1] += 1
            if is_list or count % 2 == 0:
                top[2] = str(count) if is_list else str(getattr(event, "value", ""))
                yield ".".join(name for _, _, name in above), event.start_mark.line + 1
        if isinstance(event, yaml.CollectionStartEvent):
            above.append([isinstance(event, yaml.SequenceStartEvent), 0, ""])


def _words(failed: yaml.YAMLError) -> str:
    mark = getattr(failed, "problem_mark", None)
    problem = getattr(failed, "problem", None) or str(failed).split("\n")[0][:200]
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem


class _Reader:
    """From events to values."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._left = MAX_SIZE
        self._anchors: dict[str, tuple[Any, int]] = {}  # the value and its size
        self._makers: dict[type, Callable[[Any, int], Any]] = {
            yaml.ScalarEvent: lambda event, _: _scalar(event),
            yaml.SequenceStartEvent: self._list,
            yaml.MappingStartEvent: self._mapping,
        }

    def document(self) -> Any:
        """Its value; an empty text holds none."""
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._value(self._next(), MAX_DEPTH)
        self._next()
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            raise _wrong(event, "a second document begins here: send one")
        return value

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._left
        self._spend(event, VALUE_SIZE + len(getattr(event, "value", "")))
        if event.tag not in (None, "!") or depth == 0:
            what = "nested too deep" if depth == 0 else "tags are not read"
            raise _wrong(event, f"{what}: {event.tag or MAX_DEPTH}")
        value = self._makers[type(event)](event, depth - 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, before - self._left
        return value

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _wrong(event, f"*{event.anchor} stands for nothing that is complete by here")
        value, size = self._anchors[event.anchor]
        self._spend(event, size)
        return value

    def _spend(self, event: Any, size: int) -> None:
        self._left -= size
        if self._left < 0:
            values = MAX_SIZE // VALUE_SIZE
            raise _wrong(event, f"larger than {values} short values, aliases counted in full")

    def _list(self, _: Any, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            found.append(self._value(event, depth))
        return found

    def _mapping(self, _: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _wrong(event, "a name must be a word")
            name = event.value
            if name in found:
                raise _wrong(event, f"the name {name[:100]!r} stands twice in one mapping")
            self._spend(event, VALUE_SIZE + len(name))
            found[name] = self._value(self._next(), depth)
        return found


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style:  # in quotes, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and len(text) < 400:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise _wrong(event, "the number is too large")
        return value
    return text


def _wrong(event: Any, words: str) -> ValueError:
    mark = event.start_mark
    return ValueError(f"line {mark.line + 1}, column {mark.column + 1}: {words}")
