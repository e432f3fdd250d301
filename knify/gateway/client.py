"""The gateway, for this node's workers: open and close doors, hear what it has to tell."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import redis

from knify import errors
from knify.gateway import netns
from knify.gateway.policy import Policy
from knify.gateway.told import Event

log = logging.getLogger(__name__)

OPEN_SECONDS: Final = 5.0  # for which a job's start waits for the gateway
_CALL_SECONDS: Final = 5.0
_PAUSE: Final = 0.1
_LINE: Final = 256 * 1024
_SANDBOX_GONE: Final = errors.SandboxGone.code
Hear = Callable[[str, Event], Awaitable[bool]]


class Client:
    """Blocking calls, from any thread, each on a connection of its own; `hear` is asynchronous."""

    def __init__(self, path: Path) -> None:
        """`path` of the control socket."""
        self._path = path

    def open(
        self, *, execution: str, sandbox: str, tenant: str, pid: int, policy: Policy,
        seconds: float = OPEN_SECONDS,
    ) -> list[str]:  # fmt: skip
        """Let the sandbox out, as far as the policy goes; opened before, the policy is replaced.

        The hosts for which there are logins of git's.

        `pid` of the container's init. SandboxGone when it has ended, GatewayAway when the gateway
        does not answer within `seconds`.
        """
        start = netns.started(pid)
        if start is None:
            raise errors.SandboxGone("the sandbox's process is gone")
        request = {
            "execution": execution,
            "sandbox": sandbox,
            "tenant": tenant,
            "pid": pid,
            "pid_start": start,
            "policy": policy.as_json(),
        }
        return [str(host) for host in self._patiently("open", request, seconds).get("git", ())]

    def close(self, execution: str, seconds: float = OPEN_SECONDS) -> list[Event]:
        """Let nothing through any more; what was told and nobody has published. GatewayAway."""
        answer = self._patiently("close", {"execution": execution}, seconds)
        return [Event(**event) for event in answer["events"]]

    def ack(self, execution: str, n: int) -> None:
        """That event is published. GatewayAway."""
        self._call("ack", {"execution": execution, "n": n})

    def status(self) -> dict[str, Any]:
        """What the gateway says of itself. GatewayAway."""
        return self._call("status", {})

    def _patiently(self, verb: str, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            try:
                return self._call(verb, request)
            except errors.GatewayAway:
                if time.monotonic() + _PAUSE > end:
                    raise
            time.sleep(_PAUSE)

    def _call(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_CALL_SECONDS)
                connection.connect(str(self._path))
                connection.sendall(json.dumps({"verb": verb} | request).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    answer = json.loads(answers.readline(_LINE))
        except (OSError, ValueError) as away:
            raise errors.GatewayAway(f"the gateway does not answer: {away}") from away
        if "error" in answer:
            raise _problem(answer)
        return dict(answer)

    async def hear(self, hear: Hear, met: Callable[[], Awaitable[None]]) -> None:
        """For ever: `hear` gets each event, and says whether it has published it.

        `met` is awaited each time that a gateway has come.
        """
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path), limit=_LINE)
                try:
                    await met()
                    await self._hear(reader, writer, hear)
                finally:
                    writer.close()
            except (OSError, ValueError, TypeError, errors.KnifyError, redis.RedisError) as away:
                log.debug("the gateway tells nothing: %s", away)
            await asyncio.sleep(_PAUSE * 5)

    async def _hear(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hear: Hear
    ) -> None:
        writer.write(b'{"verb":"events"}\n')
        while line := await reader.readline():
            said = json.loads(line)
            execution = said.pop("execution")
            event = Event(**said)
            if await hear(execution, event):
                taken = {"verb": "ack", "execution": execution, "n": event.n}
                writer.write(json.dumps(taken).encode() + b"\n")
                await writer.drain()


def _problem(answer: dict[str, Any]) -> errors.KnifyError:
    kind = errors.SandboxGone if answer.get("code") == _SANDBOX_GONE else errors.GatewayAway
    return kind(f"gateway: {answer['error']}")
