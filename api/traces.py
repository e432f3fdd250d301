"""The span of each request: by its route, never by its path or query, which may hold anything."""

from __future__ import annotations

from typing import Final

import flask

from knify import tracing

#: Asked every few seconds by machines.
_UNTRACED: Final = ("health", "metrics")


def begin() -> None:
    """A request has come; the trace of a client that sends a `traceparent` goes on."""
    asked = flask.request
    if asked.blueprint in _UNTRACED:
        tracing.untraced()
        return
    route = asked.url_rule.rule if asked.url_rule else None
    tracing.request(asked.method, route, asked.headers.get("traceparent"))


def end(response: flask.Response) -> None:
    """It is answered, but for the body."""
    tracing.answered(response.status_code)
