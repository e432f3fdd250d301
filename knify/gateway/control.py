"""The gateway's control socket: requests of this node's workers, one JSON object a line each way.

`open {execution, sandbox, tenant, pid, pid_start, policy}`, `close {execution}`,
`ack {execution, n}`, `status {}`; and `events {}`, after which the connection carries what there is
to be told, until it is taken (`ack`, on another connection or this one).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import redis

from knify import errors
from knify.agents import models
from knify.gateway.door import Place
from knify.gateway.doors import Doors
from knify.gateway.policy import Policy

log = logging.getLogger(__name__)

_LINE: Final = 256 * 1024  # bytes of one request
_AGAIN_SECONDS: Final = 2.0  # after which what was not taken is said again
Answer = dict[str, Any]


class Control:
    """Serves the socket; root alone may open it."""

    def __init__(
        self, doors: Doors, status: Callable[[], Answer], git: Callable[[Policy], list[str]]
    ) -> None:
        """`git`: the hosts that a policy lets git log in to."""
        self._git = git
        self._doors = doors
        self._status = status
        self._verbs: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "open": self._open,
            "close": self._close,
            "ack": self._ack,
            "status": self._tell_status,
        }

    async def listen(self, path: Path) -> asyncio.Server:
        """Serve it; a socket that a dead gateway left there is replaced."""
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._met, str(path), limit=_LINE)
        finally:
            os.umask(before)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        saying: asyncio.Task[None] | None = None
        try:
            while line := await reader.readline():
                request = json.loads(line)
                if request.get("verb") == "events":
                    saying = saying or asyncio.create_task(self._say(writer))
                    continue
                answer = await self._answered(request)
                if saying is None:
                    await _write(writer, answer)
        except (OSError, ValueError, AttributeError) as failed:
            log.warning("control: %s", failed)
        finally:
            if saying is not None:
                saying.cancel()
            with contextlib.suppress(OSError):
                writer.close()

    async def _answered(self, request: Answer) -> Answer:
        verb = self._verbs.get(str(request.get("verb")))
        if verb is None:
            return {"error": "unknown verb", "code": "BAD_REQUEST"}
        try:
            return await verb(request)
        except errors.KnifyError as failed:
            return {"error": failed.message, "code": failed.code}
        except redis.RedisError as away:
            return {"error": f"Redis does not answer: {away}", "code": "STORE_UNAVAILABLE"}
        except (TypeError, KeyError, ValueError) as wrong:
            return {"error": f"not a request: {wrong!r}", "code": "BAD_REQUEST"}

    async def _open(self, request: Answer) -> Answer:
        policy = Policy.parse(request["policy"])
        await self._doors.open(Place.parse(request), policy)
        return {"port": models.PORT, "git": self._git(policy)}

    async def _close(self, request: Answer) -> Answer:
        told = await self._doors.close(str(request["execution"]))
        return {"events": [event.as_json() for event in told.waiting.values()]}

    async def _ack(self, request: Answer) -> Answer:
        self._doors.told(str(request["execution"])).take(int(request["n"]))
        return {}

    async def _tell_status(self, request: Answer) -> Answer:
        return self._status()

    async def _say(self, writer: asyncio.StreamWriter) -> None:
        """What is to be told, and again while nobody has taken it."""
        said: dict[tuple[str, int], float] = {}
        clock, news = asyncio.get_running_loop().time, asyncio.Event()
        self._doors.listeners.add(news)
        try:
            while not writer.is_closing():
                news.clear()
                await self._say_new(writer, said, clock())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN_SECONDS):
                        await news.wait()
        finally:
            self._doors.listeners.discard(news)

    async def _say_new(
        self, writer: asyncio.StreamWriter, said: dict[tuple[str, int], float], now: float
    ) -> None:
        waiting = {
            (name, n): event
            for name, told in self._doors.untaken()
            for n, event in told.waiting.items()
        }
        for key in [key for key in said if key not in waiting]:
            del said[key]
        for key, event in waiting.items():
            if now - said.get(key, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
                said[key] = now
                await _write(writer, {"execution": key[0]} | event.as_json())


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
    await writer.drain()
