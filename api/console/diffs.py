"""Changes of files as lines with a mark: what an agent wrote or replaced, and patches."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 2_000  # lines that are shown
_NAMES: Final = (
    ("old_string", "new_string"), ("oldText", "newText"), ("old_text", "new_text"),
    ("old_str", "new_str"),
)  # fmt: skip
_WHOLE: Final = ("content", "contents", "file_text", "text")
_PATCHES: Final = ("patch", "diff", "input", "unified_diff")
#: The parameters that a diff shows better than they do themselves.
TAKEN: Final = frozenset({name for pair in _NAMES for name in pair} | {*_WHOLE, *_PATCHES, "edits"})
_BEGINS: Final = ("diff --git ", "--- ", "*** Begin Patch", "@@ ", "Index: ")


@dataclass(slots=True)
class Room:
    """What one page may still take: comparing takes time, and lines take a browser's."""

    pairs: int = 40_000  # old lines times new ones that are compared; about a tenth of a second
    lines: int = 6_000  # that are shown


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `mark` is +, -, @ (where it is), or a space."""

    mark: str
    text: str

    @property
    def kind(self) -> str:
        """Its class."""
        return {"+": "add", "-": "remove", "@": "where"}.get(self.mark, "same")


def of_call(tool: str, parameters: Mapping[str, Any], room: Room | None = None) -> list[Line]:
    """What a tool call changes in a file; empty when it does not, or does not say it so.

    Takes what it needs of `room`, and shows no more than there is.
    """
    room = room or Room()
    found = _of_call(tool, parameters, room)[: min(MOST, room.lines)]
    room.lines -= len(found)
    return found


def _of_call(tool: str, parameters: Mapping[str, Any], room: Room) -> list[Line]:
    found: list[Line] = []
    edits = parameters.get("edits")
    for edit in edits if isinstance(edits, list) else ():
        if isinstance(edit, dict) and len(found) < MOST:
            found += _edit(edit, room)
    found = found or _edit(parameters, room)
    if found:
        return found
    for name in _PATCHES:
        text = parameters.get(name)
        if isinstance(text, str) and text.lstrip().startswith(_BEGINS):
            return of_patch(text)
    if "write" in tool.lower() or "create" in tool.lower():
        text = next((parameters[n] for n in _WHOLE if isinstance(parameters.get(n), str)), "")
        return [Line("+", line) for line in text.splitlines()[:MOST]]
    return []


def of_patch(text: str) -> list[Line]:
    """A patch: in its hunks by the letter before each line, and the rest says where."""
    found, inside = [], False
    for line in text.splitlines()[:MOST]:
        if line.startswith(("@@", "***")):
            inside = True
            found.append(Line("@", line))
        elif line.startswith(("diff ", "index ", "Index: ", "new file", "deleted file")):
            inside = False
            found.append(Line("@", line))
        elif not inside and line.startswith(("--- ", "+++ ", "similarity", "rename", "old mode")):
            found.append(Line("@", line))
        elif line[:1] in ("+", "-"):
            found.append(Line(line[0], line[1:]))
        else:
            found.append(Line(" ", line.removeprefix(" ")))
    return found


def _edit(parameters: Mapping[str, Any], room: Room) -> list[Line]:
    for old_name, new_name in _NAMES:
        old, new = parameters.get(old_name), parameters.get(new_name)
        if isinstance(old, str) and isinstance(new, str):
            return between(old.splitlines(), new.splitlines(), room)
    return []


def between(old: Sequence[str], new: Sequence[str], room: Room | None = None) -> list[Line]:
    """From these lines to those; where there is no room to compare, all go and all come."""
    room = room or Room()
    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    left, right = old[head : len(old) - tail], new[head : len(new) - tail]
    return [
        *(Line(" ", line) for line in old[:head]),
        *_middle(left, right, room),
        *(Line(" ", line) for line in old[len(old) - tail :]),
    ]


def _same(old: Sequence[str], new: Sequence[str]) -> int:
    """With how many equal lines both begin."""
    pairs = zip(old, new, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(old), len(new)))


def _middle(old: Sequence[str], new: Sequence[str], room: Room) -> list[Line]:
    work = len(old) * len(new)
    if work > room.pairs:
        return [Line("-", line) for line in old] + [Line("+", line) for line in new]
    room.pairs -= work
    found: list[Line] = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            found += [Line(" ", line) for line in old[i:j]]
        else:
            found += [Line("-", line) for line in old[i:j]]
            found += [Line("+", line) for line in new[k:m]]
    return found
