"""A process that dies at one of its calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class DiedError(Exception):
    """Here the process would have died."""


@contextmanager
def dying(n: int, when: str, *calls: tuple[object, str]) -> Iterator[None]:
    """Die before or after the n-th of all these calls (object, method) within the block."""
    count = itertools.count()

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            here = next(count) == n
            if here and when == "before":
                raise DiedError
            found = function(*arguments, **named)
            if here:
                raise DiedError
            return found

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, method in calls:
            patch.setattr(owner, method, around(getattr(owner, method)))
        try:
            yield
        except DiedError:
            pass
