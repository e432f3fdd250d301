"""Doors alone, on this machine's loopback: what answers at them, without a gateway around it."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from knify.gateway import door, netns, places
from knify.gateway.policy import Policy
from knify.gateway.told import Told


class Porch:
    """A loop in a thread, in which all that is tested lives."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.told: list[Told] = []
        self.doors: list[door.Door] = []
        self._names = itertools.count()
        self._port = 0

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def listen(self, *_: int) -> socket.socket:
        """In place of a listener in a sandbox."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self._port = listener.getsockname()[1]
        return listener

    def open(self, serve: door.Serve, **policy: Any) -> int:
        """A door's port."""
        name, pid = f"x{next(self._names)}", os.getpid()
        place = door.Place(name, f"s-{name}", "default", pid, netns.started(pid) or 0)
        nothing: Any = None  # neither Redis nor an account is asked here
        told = Told(nothing, name, lambda: None)
        self.told.append(told)
        ports, room = {1: serve}, places.Places(100)
        opened = door.Door(place, Policy(**policy), told, nothing, ports, room)
        self.call(opened.open())
        self.doors.append(opened)
        return self._port

    def events(self) -> list[tuple[str, str]]:
        """What the last door told."""
        return [(event.stage, event.detail) for event in self.told[-1]._waiting]

    def make(self, function: Callable[[], Any]) -> Any:
        """Something that has to be made within the loop."""

        async def run() -> Any:
            return function()

        return self.call(run())


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Porch]:
    porch = Porch()
    monkeypatch.setattr(netns, "listen", porch.listen)
    thread = threading.Thread(target=porch.loop.run_forever, daemon=True)
    thread.start()
    yield porch
    for opened in porch.doors:
        porch.make(opened.close)
    porch.loop.call_soon_threadsafe(porch.loop.stop)
    thread.join(30)
