"""A stream that says that a page shows something old: the page then asks for what it shows.

Frames have no content beyond what has changed: nothing of it need be escaped, and one that is lost
costs nothing, since the next one leads to the same question.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import flask

from api import auth, context, streams
from api.hub import Hub

QUIET_SECONDS: Final = 1.0  # at most one word in so long: many jobs that change are one change


def respond(channel: str) -> flask.Response:
    """Server-sent events, one whenever something was published at the channel. StreamsBusy."""
    core, key, hub = context.core(), context.key(), context.hub()
    body = _changes(hub, channel, lambda: auth.still_valid(core, key))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    placed = streams.Placed(body)
    return flask.Response(placed, mimetype=streams.SSE.mimetype, headers=headers)


def _changes(hub: Hub, channel: str, allowed: Callable[[], bool]) -> Iterator[str]:
    with hub.listening(channel) as waiter:
        yield ": here\n\n"
        beat = time.monotonic() + streams.HEARTBEAT_SECONDS
        while True:
            if waiter.wait(beat - time.monotonic()):
                yield 'data: {"changed":true}\n\n'
                time.sleep(QUIET_SECONDS)
            if time.monotonic() >= beat:
                if not allowed():
                    return
                yield ": still here\n\n"
                beat = time.monotonic() + streams.HEARTBEAT_SECONDS
