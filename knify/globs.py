"""Matching paths against a user's globs, in bounded time: no backtracking over a whole path."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns names `path`. `**` stands for any number of folders, none too.

    Both are relative, with forward slashes; `*`, `?` and `[…]` stay within one folder's name.
    """
    parts = path.split("/")
    return any(_match(parts, pattern.split("/")) for pattern in patterns)


def _match(parts: list[str], pattern: list[str]) -> bool:
    """Walks the pattern once, keeping the set of positions in the path it may have reached."""
    reached = {0}
    for piece in pattern:
        if piece == "**":
            reached = set(range(min(reached, default=len(parts) + 1), len(parts) + 1))
        else:
            reached = {
                at + 1
                for at in reached
                if at < len(parts) and fnmatch.fnmatchcase(parts[at], piece)
            }
    return len(parts) in reached
