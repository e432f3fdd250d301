"""A gateway in a thread, whose doors open on this machine's loopback instead of in sandboxes."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from knify import core as core_module
from knify import egress, hints, settings
from knify.gateway import door, main, netns
from knify.gateway.policy import Policy
from knify.services import jobs


class Rig:
    """The gateway and what tests ask of it."""

    def __init__(self, gateway: main.Gateway, core: core_module.Core) -> None:
        self.gateway = gateway
        self.core = core
        self.loop = asyncio.new_event_loop()
        self.ports: list[int] = []

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def make(self, function: Callable[[], Any]) -> Any:
        """Something that has to be done within the loop."""

        async def run() -> Any:
            return function()

        return self.call(run())

    def submit(self) -> str:
        """An execution that has not ended."""
        request = {"job_type": "command_task", "command": "x"}
        return jobs.submit(self.core, "default", jobs.Submission(request)).execution.id  # type: ignore[union-attr]

    def open(self, **policy: Any) -> tuple[str, str]:
        """A door for a new execution: its id, and the URL behind which it lies."""
        name = self.submit()
        pid = os.getpid()
        place = door.Place(name, f"s-{name}", "default", pid, netns.started(pid) or 0)
        self.call(self.gateway.doors.open(place, Policy(**policy)))
        return name, f"http://127.0.0.1:{self.ports[-1]}"

    def opened(self, **policy: Any) -> dict[str, Any]:
        """What a worker is answered that asks for a door."""
        pid = os.getpid()
        place = door.Place(self.submit(), "s", "default", pid, netns.started(pid) or 0)
        request = place.as_json() | {"policy": Policy(**policy).as_json()}
        return dict(self.call(self.gateway._control._open(request)))

    def told(self, name: str) -> list[tuple[str, str]]:
        """What stands in its history of the gateway's, all of it."""
        door = self.gateway.doors.get(name)
        if door is not None:
            self.call(door.told.save())
        events = self.core.store.streams.events(name)
        return [(event.stage, event.detail) for event in events if event.level == "warning"]


@contextmanager
def running(
    redis_url: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    lookup: egress.Resolver | None = None,
    **environ: str,
) -> Iterator[Rig]:
    """`environ`: settings, and the vendors' keys."""
    for name in [name for name in environ if not name.startswith("KNIFY_")]:
        monkeypatch.setenv(name, environ[name])
    config = settings.load(
        {"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": redis_url, "KNIFY_NODE": "n"} | environ
    )
    config.run_dir.mkdir(parents=True)
    rig = Rig(main.Gateway(config, lookup), core_module.connect(config, hints.RecordedHints()))

    def listen(*_: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        rig.ports.append(listener.getsockname()[1])
        return listener

    monkeypatch.setattr(netns, "listen", listen)
    ready, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with rig.gateway.serving():
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: rig.loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield rig
    finally:
        rig.loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        rig.core.store.client.close()
