"""What a sandbox asks a model: read as far as the gateway has to know it."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass
from typing import Any, Final

from knify import errors
from knify.gateway import beyond, estimates, limits, vendors

#: Reading one stops all other calls for as long as it takes, in whichever thread.
_MOST_VALUES: Final = 300_000


@dataclass(frozen=True, slots=True)
class Question:
    """A request for a model's answer, or about one."""

    model: str  # "" for one about any
    tokens: int  # that go in: an estimate
    most: int  # that may come out
    beyond: tuple[str, ...]  # what the vendor would do by itself, and may not
    is_stream: bool  # its answer comes in pieces
    content: bytes  # as it is passed on


def read(route: vendors.Route, content: bytes, allowed: tuple[str, ...] = ()) -> Question:
    """BadRequest for what could be read in two ways, or not counted.

    `allowed`: patterns of what vendors may do by themselves, see `beyond`.
    """
    body = _body(content)
    vendor = route.vendor.name
    twice = beyond.spelled_twice(vendor, body)
    if twice is not None:
        raise errors.BadRequest(f"the request has a name that some read as another one: {twice!a}")
    if route.model and str(body.get("model") or route.model).split("/")[-1] != route.model:
        raise errors.BadRequest("the request names another model than its path")
    if body.get("background"):
        raise errors.BadRequest("background calls are not passed on: they cannot be counted")
    named = route.model or body.get("model")
    if not (isinstance(named, str) and named) and route.is_call:
        raise errors.BadRequest("the request names no model")
    named = beyond.name_of("model", named) if isinstance(named, str) else ""

    def is_allowed(name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed)

    tokens = estimates.tokens(vendor, body, len(content))
    most = limits.most(vendor, body)
    is_changed = beyond.without_unasked(vendor, body, is_allowed)
    is_stream = bool(body.get("stream")) or ":stream" in route.url
    if vendor == "openai" and route.url.partition("?")[0].endswith("/chat/completions"):
        is_changed |= is_stream and _tell_usage(body)
    if is_changed:
        content = beyond.written(body)
    refused = tuple(name for name in beyond.asked(vendor, body) if not is_allowed(name))
    return Question(named, tokens, most, refused, is_stream, content)


def _tell_usage(body: dict[str, Any]) -> bool:
    """Have a stream of chat completions tell its usage, at its end; whether it would not have.

    Else nothing tells how much a model has thought, which is not in the stream.
    """
    given = body.get("stream_options")
    kept = given if isinstance(given, dict) else {}
    # Told with every piece, the first one would pass for the last.
    wanted = {name: v for name, v in kept.items() if name != "continuous_usage_stats"}
    body["stream_options"] = wanted | {"include_usage": True}
    return bool(body["stream_options"] != given)


def _body(content: bytes) -> dict[str, Any]:
    if sum(content.count(mark) for mark in b"[{,") > _MOST_VALUES:
        raise errors.BadRequest(f"the request may hold more than {_MOST_VALUES} values")
    try:
        body = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as failed:
        raise errors.BadRequest("the request is no JSON that all would read alike") from failed
    if not isinstance(body, dict):
        raise errors.BadRequest("the request is no object")
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
