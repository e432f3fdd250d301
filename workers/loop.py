"""The driver's event loop in a thread, and the way into it from the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from knify import errors
from knify.sandbox import base as sandbox_base


class Loop:
    """An event loop in a thread of its own, and the way into it from other threads."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="watcher", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
        """Run it there and wait. SandboxTimeout after `seconds`."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(seconds)
        except FutureTimeout as late:
            future.cancel()
            raise errors.SandboxTimeout(f"no answer in {seconds:g} s") from late


class Bridge:
    """The driver, for the runner's threads."""

    def __init__(self, loop: Loop, driver: sandbox_base.Driver) -> None:
        self.driver = driver
        self.call = loop.call
