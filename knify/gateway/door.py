"""One sandbox's way out: a listener in its network namespace, and the connections through it."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from knify import counters, errors
from knify.gateway import line as lines
from knify.gateway import netns
from knify.gateway.account import Account
from knify.gateway.places import Places
from knify.gateway.policy import Policy
from knify.gateway.told import Told
from knify.gateway.turns import Turns

log = logging.getLogger(__name__)

NAMES: Final = 4  # that one sandbox may have resolved at one time
_SETTLE_SECONDS: Final = 2.0
_BIND_SECONDS: Final = 3.0  # for which a port that is in use is tried again
Serve = Callable[["Door", lines.Line], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Which execution in which process's namespace."""

    execution: str
    sandbox: str
    tenant: str
    pid: int  # of the container's init
    pid_start: int  # clock ticks since boot: tells a reused pid apart

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        """From JSON; TypeError, KeyError or ValueError for what is none."""
        return cls(
            execution=str(fields["execution"]),
            sandbox=str(fields["sandbox"]),
            tenant=str(fields["tenant"]),
            pid=int(fields["pid"]),
            pid_start=int(fields["pid_start"]),
        )

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class Door:
    """An open door; it closes by itself when the container's init ends."""

    def __init__(
        self,
        place: Place,
        policy: Policy,
        told: Told,
        account: Account,
        ports: Mapping[int, Serve],
        places: Places,
    ) -> None:
        """`ports`: where it listens, and what answers all that comes on a connection there.

        `places` there are for all doors.
        """
        self.place = place
        self.policy = policy
        self.told = told
        self.account = account
        self.names = asyncio.Semaphore(NAMES)
        self.is_open = False
        self._turns = Turns()
        self._ports = ports
        self._places = places
        self._servers: list[asyncio.Server] = []
        self._handle = -1
        self._lines: dict[lines.Line, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Listen. SandboxGone when the process is not there; SandboxError when it cannot be."""
        try:
            self._handle = os.pidfd_open(self.place.pid)
            for port, serve in self._ports.items():
                met = functools.partial(self._met, serve)
                listener = await self._listen(port)
                server = asyncio.start_server(met, sock=listener, limit=lines.READ_BYTES)
                self._servers.append(await server)
        except ProcessLookupError as gone:
            self.close()
            raise errors.SandboxGone("the sandbox's process is gone") from gone
        except OSError as failed:  # also of this process: it may have no descriptor left
            self.close()
            raise errors.SandboxError(f"cannot listen in the sandbox: {failed}") from failed
        except BaseException:
            self.close()
            raise
        self.is_open = True
        asyncio.get_running_loop().add_reader(self._handle, self.close)

    async def _listen(self, port: int) -> Any:
        end = time.monotonic() + _BIND_SECONDS
        place = self.place
        while True:
            try:
                return await asyncio.to_thread(
                    netns.listen, self._handle, place.pid, place.pid_start, port
                )
            except OSError as failed:
                # The port is of a gateway that died a moment ago, or the job took it.
                if failed.errno != errno.EADDRINUSE or time.monotonic() > end:
                    raise
            await asyncio.sleep(0.1)

    def close(self) -> None:
        """Let nothing through any more; what was told stays."""
        self.is_open = False
        handle, self._handle = self._handle, -1
        if handle >= 0:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)
        while self._servers:
            self._servers.pop().close()
        for line, task in list(self._lines.items()):
            line.abort()
            task.cancel()

    async def settle(self) -> bool:
        """Behind its closing: whether all that was under way is in Redis, counted and told."""
        tasks = list(self._lines.values())
        if tasks:
            await asyncio.wait(tasks, timeout=_SETTLE_SECONDS)
        await asyncio.gather(self.account.save(), self.told.save())
        return not self._lines and self.account.is_saved and self.told.is_saved

    def abort_overdue(self, now: float) -> None:
        """End the connections whose time is over."""
        for line in [line for line in self._lines if line.deadline < now]:
            line.abort()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._lines)

    def _met(
        self, serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line = lines.Line(reader, writer, self._turns)
        counters.add("knify_gateway_connections")
        if not self.is_open:
            line.abort()
            return
        if not self._places.take(len(self._lines)):
            line.abort()
            many = "too many connections at one time: further ones are closed"
            self.told.once("egress_refused", many)
            return
        task = asyncio.get_running_loop().create_task(self._talk(serve, line))
        self._lines[line] = task
        task.add_done_callback(lambda _: self._left(line))

    def _left(self, line: lines.Line) -> None:
        """Behind `lost`: its descriptor is free again."""
        self._places.give_back()
        del self._lines[line]

    async def _talk(self, serve: Serve, line: lines.Line) -> None:
        try:
            await serve(self, line)
        except (lines.Gone, OSError):
            pass
        except asyncio.CancelledError:
            line.abort()
            if self.is_open:
                raise
        except Exception:
            log.exception("a connection of %s", self.place.execution)
        finally:
            await line.lost()
