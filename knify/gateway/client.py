"""The gateway, for this node's workers: open and close doors."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis

from knify import errors
from knify.gateway import netns
from knify.gateway.policy import Policy

log = logging.getLogger(__name__)

OPEN_SECONDS: Final = 5.0  # for which a job's start waits for the gateway
_CALL_SECONDS: Final = 5.0
_PAUSE: Final = 0.1
_LINE: Final = 256 * 1024
_SANDBOX_GONE: Final = errors.SandboxGone.code


@dataclass(frozen=True, slots=True)
class Opened:
    """What there is behind a door."""

    git: tuple[str, ...] = ()  # hosts for which there are logins of git's
    services: tuple[str, ...] = ()  # of the policy's


class Client:
    """Blocking calls, from any thread, each on a connection of its own; `meet` is asynchronous."""

    def __init__(self, path: Path) -> None:
        """`path` of the control socket."""
        self._path = path

    def open(
        self, *, execution: str, sandbox: str, tenant: str, pid: int, policy: Policy,
        seconds: float = OPEN_SECONDS,
    ) -> Opened:  # fmt: skip
        """Let the sandbox out, as far as the policy goes; opened before, the policy is replaced.

        `pid` of the container's init. SandboxGone when it has ended, GatewayAway when the gateway
        does not answer within `seconds`.
        """
        try:
            start = netns.started(pid)
        except OSError as failed:
            raise errors.SandboxError(f"the sandbox's process is not seen: {failed}") from failed
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
        answer = self._patiently("open", request, seconds)
        return Opened(tuple(answer.get("git", ())), tuple(answer.get("services", ())))

    def close(self, execution: str, sandbox: str, seconds: float = OPEN_SECONDS) -> bool:
        """Let nothing through any more. GatewayAway.

        Whether all that it took of models and told is in Redis by now; else that comes later.
        """
        request = {"execution": execution, "sandbox": sandbox}
        return bool(self._patiently("close", request, seconds)["is_saved"])

    def status(self) -> dict[str, Any]:
        """What the gateway says of itself. GatewayAway."""
        return self._call("status", {})

    def _patiently(self, verb: str, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            try:
                return self._call(verb, request, min(seconds, _CALL_SECONDS))
            except errors.GatewayAway:
                if time.monotonic() + _PAUSE > end:
                    raise
            time.sleep(_PAUSE)

    def _call(
        self, verb: str, request: dict[str, Any], seconds: float = _CALL_SECONDS
    ) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(max(seconds, _PAUSE))
                connection.connect(str(self._path))
                connection.sendall(json.dumps({"verb": verb} | request).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    answer = json.loads(answers.readline(_LINE))
        except (OSError, ValueError) as away:
            raise errors.GatewayAway(f"the gateway does not answer: {away}") from away
        if "error" in answer:
            raise _problem(answer)
        return dict(answer)

    async def meet(self, met: Callable[[], Awaitable[None]]) -> None:
        """For ever: `met` is awaited each time that a gateway has come."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                try:
                    await met()
                    await reader.read()  # to its end
                finally:
                    writer.close()
            except (OSError, errors.KnifyError, redis.RedisError) as away:
                log.debug("there is no gateway: %s", away)
            await asyncio.sleep(_PAUSE * 5)


def _problem(answer: dict[str, Any]) -> errors.KnifyError:
    kind = errors.SandboxGone if answer.get("code") == _SANDBOX_GONE else errors.GatewayAway
    return kind(f"gateway: {answer['error']}")
