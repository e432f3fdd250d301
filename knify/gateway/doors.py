"""All open doors of this node, and what they have to tell."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import redis

from knify import errors
from knify.gateway.account import Account
from knify.gateway.door import Door, Place, Serve
from knify.gateway.policy import Policy
from knify.gateway.told import Told
from knify.store.doors import Doors as DoorStore

log = logging.getLogger(__name__)

T = TypeVar("T")
_KEPT: Final = 2_000  # executions whose events are kept behind their doors' end
TICK_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 20.0


class Doors:
    """The table; lives in the event loop. Redis keeps it, too, for the next gateway."""

    def __init__(
        self,
        store: DoorStore,
        node: str,
        boot: str,
        serve: Serve,
        account: Callable[[str], Account],
    ) -> None:
        """`boot`: of this machine, since pids mean nothing behind it; `account` opens one."""
        self._account = account
        self._store, self._node, self._boot, self._serve = store, node, boot, serve
        self._open: dict[str, Door] = {}  # by execution
        self._told: OrderedDict[str, Told] = OrderedDict()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self.listeners: set[asyncio.Event] = set()  # set with each new event

    async def open(self, place: Place, policy: Policy) -> None:
        """Open it, or give the one that is open this policy. SandboxGone, SandboxError."""
        async with self._lock(place.sandbox):
            network = await self._ask(self._store.network, place.execution)
            policy = policy.changed(network)
            door = self._open.get(place.execution)
            if door is not None and door.is_open and door.place == place:
                door.policy = policy
                return
            for other in list(self._open.values()):
                if other.place.sandbox == place.sandbox:
                    await self._end(other)
            told, account = self.told(place.execution), self._account(place.execution)
            door = Door(place, policy, told, account, self._serve)
            kept = place.as_json() | {"boot": self._boot, "policy": policy.as_json()}
            await door.open()
            try:
                await self._ask(self._store.keep, self._node, place.execution, kept)
            except BaseException:
                door.close()
                raise
            self._open[place.execution] = door
            log.info("open for %s", place.execution)

    async def close(self, execution: str) -> Told:
        """Let nothing through any more; what nobody has taken yet."""
        door = self._open.get(execution)
        if door is not None:
            async with self._lock(door.place.sandbox):
                await self._end(door)
        return self.told(execution)

    async def reopen(self) -> None:
        """What a gateway that died had open, as far as it still runs."""
        for execution, kept in (await self._ask(self._store.kept, self._node)).items():
            try:
                place, policy = Place.parse(kept), Policy.parse(kept["policy"])
                if kept["boot"] != self._boot:
                    raise errors.SandboxGone("of another boot")
                if await self._ask(self._store.has_ended, execution):
                    raise errors.SandboxGone("it has ended")
                await self.open(place, policy)
            except (errors.SandboxError, TypeError, KeyError, ValueError) as gone:
                log.info("%s stays closed: %s", execution, gone)
                await self._ask(self._store.drop, self._node, execution)

    async def refresh(self, execution: str) -> None:
        """Somebody changed what it may reach."""
        door = self._open.get(execution)
        if door is not None:
            network = await self._ask(self._store.network, execution)
            if network and not door.policy.is_ours:
                door.policy = door.policy.changed(network)
                log.info("the network of %s was changed", execution)

    async def tick(self) -> None:
        """For ever: end what is overdue, close what has ended, hear what a message did not say."""
        checked = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for door in self._open.values():
                door.abort_overdue(now)
            if now - checked > _CHECK_SECONDS:
                checked = now
                await self._quietly(self._check)

    async def _check(self) -> None:
        for execution, door in list(self._open.items()):
            if not door.is_open or await self._ask(self._store.has_ended, execution):
                await self.close(execution)
            else:
                await self.refresh(execution)

    async def _quietly(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("doors: %s", failed)

    async def _end(self, door: Door) -> None:
        door.close()
        if door.policy.providers:
            await door.settle()
        self._open.pop(door.place.execution, None)
        await self._ask(self._store.drop, self._node, door.place.execution)

    def told(self, execution: str) -> Told:
        """What is told about it; kept for a while behind its end."""
        if execution not in self._told:
            self._told[execution] = Told(self._notify)
        found = self._told[execution]
        self._told.move_to_end(execution)
        while len(self._told) > _KEPT:
            oldest = next((name for name in self._told if name not in self._open), execution)
            if oldest == execution:  # all are open
                break
            del self._told[oldest]
        return found

    def untaken(self) -> list[tuple[str, Told]]:
        """All executions of which something is to be published."""
        return [(name, told) for name, told in self._told.items() if told.waiting]

    def get(self, execution: str) -> Door | None:
        """The open one."""
        return self._open.get(execution)

    @property
    def connections(self) -> int:
        """Of all of them."""
        return sum(door.connections for door in self._open.values())

    async def close_all(self) -> None:
        """At the end of this process: Redis keeps the table for the next one."""
        doors = list(self._open.values())
        for door in doors:
            door.close()
        await asyncio.gather(*(door.settle() for door in doors if door.policy.providers))

    def _notify(self) -> None:
        for listener in self.listeners:
            listener.set()

    def _lock(self, sandbox: str) -> asyncio.Lock:
        return self._locks.setdefault(sandbox, asyncio.Lock())

    async def _ask(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.to_thread(function, *arguments)
