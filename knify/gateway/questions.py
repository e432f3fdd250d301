"""What a sandbox asks a model: read as far as the gateway has to know it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from knify import errors
from knify.gateway import estimates, vendors

#: Reading one stops all other calls for as long as it takes, in whichever thread.
_MOST_VALUES: Final = 300_000
_READ: Final = ("model", "background")


@dataclass(frozen=True, slots=True)
class Question:
    """A request for a model's answer."""

    model: str
    tokens: int  # that go in: an estimate


def read(route: vendors.Route, content: bytes) -> Question:
    """BadRequest for what could be read in two ways, or not counted."""
    if sum(content.count(mark) for mark in b"[{,") > _MOST_VALUES:
        raise errors.BadRequest(f"the request may hold more than {_MOST_VALUES} values")
    try:
        body = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as failed:
        raise errors.BadRequest("the request is no JSON that all would read alike") from failed
    if not isinstance(body, dict):
        raise errors.BadRequest("the request is no object")
    if any(name.lower() in _READ and name not in _READ for name in body):
        raise errors.BadRequest("the request has a name that some read without regard to case")
    if body.get("background"):
        raise errors.BadRequest("background calls are not passed on: they cannot be counted")
    named = route.model or body.get("model")
    if not isinstance(named, str) or not named:
        raise errors.BadRequest("the request names no model")
    return Question(named, estimates.tokens(body, len(content)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
