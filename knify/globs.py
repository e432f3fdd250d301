"""Matching paths against a user's globs, in bounded time: no backtracking over a whole path."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable

_Piece = Callable[[str], object] | None  # None: any number of folders


class Globs:
    """Globs that are compiled once for many paths.

    `**` stands for any number of folders, none too; `*`, `?` and `[…]` stay within one folder's
    name. Globs and paths are relative, with forward slashes.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_compiled(pattern) for pattern in dict.fromkeys(patterns)]

    def match(self, path: str) -> bool:
        """Whether one of them names `path`."""
        parts = path.split("/")
        return any(_match(parts, pattern) for pattern in self._patterns)


def _compiled(pattern: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    for text in pattern.split("/"):
        if text != "**":
            pieces.append(re.compile(fnmatch.translate(text)).match)
        elif not pieces or pieces[-1] is not None:
            pieces.append(None)
    return pieces


def _match(parts: list[str], pattern: list[_Piece]) -> bool:
    """Walks the pattern once, keeping the set of positions in the path it may have reached."""
    reached = {0}
    for piece in pattern:
        if piece is None:
            reached = set(range(min(reached), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and piece(parts[at])}
        if not reached:
            return False
    return len(parts) in reached
