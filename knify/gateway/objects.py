"""All objects of a request, however deep they stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def of(body: Any, free: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Each once, but for those behind a name of `free`, which mean nothing but themselves.

    A list is looked into whatever its name: `input` is a tool's arguments with one vendor, and the
    conversation with another. No depth is too deep.
    """
    left = [body]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left.extend(value for value in one if isinstance(value, (dict, list)))
        elif isinstance(one, dict):
            yield one
            left.extend(
                value
                for name, value in one.items()
                if isinstance(value, list) or (isinstance(value, dict) and name not in free)
            )
