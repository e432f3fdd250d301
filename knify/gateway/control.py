"""The gateway's control socket: requests of this node's workers, one JSON object a line each way.

`open {execution, sandbox, tenant, pid, pid_start, policy}`, `close {execution, sandbox}`,
`status {}`.
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
Answer = dict[str, Any]


class Control:
    """Serves the socket; root alone may open it."""

    def __init__(
        self,
        doors: Doors,
        status: Callable[[], Answer],
        git: Callable[[Policy], list[str]],
        services: Callable[[Place, Policy], tuple[str, ...]],
    ) -> None:
        """`git`: the hosts that a policy lets git log in to; `services`: those that there are."""
        self._git = git
        self._services = services
        self._doors = doors
        self._status = status
        self._verbs: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "open": self._open,
            "close": self._close,
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
        try:
            while line := await reader.readline():
                await _write(writer, await self._answered(json.loads(line)))
        except (OSError, ValueError, AttributeError) as failed:
            log.warning("control: %s", failed)
        finally:
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
        place, policy = Place.parse(request), Policy.parse(request["policy"])
        policy = policy.evolve(services=self._services(place, policy))
        if policy.is_needed:  # else there is nothing behind a door
            await self._doors.open(place, policy)
        return {"port": models.PORT, "git": self._git(policy), "services": policy.services}

    async def _close(self, request: Answer) -> Answer:
        names = str(request["execution"]), str(request["sandbox"])
        return {"is_saved": await self._doors.close(*names)}

    async def _tell_status(self, request: Answer) -> Answer:
        return self._status()


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
    await writer.drain()
