"""All open doors of this node."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import redis

from knify import errors
from knify.gateway.account import Account
from knify.gateway.door import Door, Place, Serve
from knify.gateway.places import Places
from knify.gateway.policy import Policy
from knify.gateway.told import Told
from knify.store.doors import Doors as DoorStore
from knify.store.doors import Look

log = logging.getLogger(__name__)

T = TypeVar("T")
TICK_SECONDS: Final = 2.0
_CHECK_SECONDS: Final = 20.0
_AT_ONCE: Final = 16  # doors that are being opened again


class Doors:
    """The table; lives in the event loop. Redis keeps it, too, for the next gateway.

    Whatever is done to a sandbox's doors is done under that sandbox's lock.
    """

    def __init__(
        self,
        store: DoorStore,
        node: str,
        boot: str,
        ports: Callable[[Policy], Mapping[int, Serve]],
        books: Callable[[str, Callable[[], None]], tuple[Account, Told]],
        places: Places,
    ) -> None:
        """`boot`: of this machine, since pids mean nothing behind it; `ports`: what answers where.

        `books` are an execution's, made anew for each door; its second argument is called when
        there is something to be told.
        """
        self._store, self._node, self._boot, self._ports = store, node, boot, ports
        self._books = books
        self._places = places
        self._open: dict[str, Door] = {}  # by execution
        self._behind: set[Door] = set()  # closed, but Redis does not know all of them yet
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._news = asyncio.Event()

    async def open(self, place: Place, policy: Policy, *, again: bool = False) -> None:
        """Open it, or give the one that is open this policy. SandboxGone, SandboxError.

        `again`: only if it was open before, and nobody has closed it meanwhile.
        """
        async with self._lock(place.sandbox):
            if again and not await self._is_wanted(place.execution):
                return
            look = await self._ask(self._store.look, place.execution)
            if look.is_past:
                raise errors.SandboxGone("it has ended")
            policy = policy.changed(look.network)
            door = self._open.get(place.execution)
            if door is not None and door.is_open and door.place == place:
                door.policy = policy
                return
            for other in list(self._open.values()):
                if other.place.sandbox == place.sandbox:
                    self._shut(other)
                    await self._quietly(self._settle(other))
            await self._begin(place, policy)

    async def _begin(self, place: Place, policy: Policy) -> None:
        account, told = self._books(place.execution, self._news.set)
        door = Door(place, policy, told, account, self._ports(policy), self._places)
        kept = place.as_json() | {"boot": self._boot, "policy": policy.as_json()}
        await door.open()
        try:
            await self._ask(self._store.keep, self._node, place.execution, kept)
        except BaseException:
            door.close()
            raise
        self._open[place.execution] = door
        log.info("open for %s", place.execution)

    async def close(self, execution: str, sandbox: str) -> bool:
        """Let nothing through any more; whether Redis has all that it took and told by now."""
        async with self._lock(sandbox):
            door = self._open.get(execution)
            if door is None:  # perhaps of a gateway before this one
                await self._ask(self._store.drop, self._node, execution)
            else:
                self._shut(door)
            behind = [door for door in self._behind if door.place.execution == execution]
            return all([await self._quietly(self._settle(door)) for door in behind])

    async def reopen(self) -> bool:
        """What a gateway that died had open, as far as it still runs; whether all is done."""
        kept = await self._ask(self._store.kept, self._node)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(execution: str, door: Mapping[str, Any]) -> bool:
            async with turns:
                return await self._reopen(execution, door)

        done = await asyncio.gather(
            *(one(name, door) for name, door in kept.items() if name not in self._open)
        )
        return all(done)

    async def _reopen(self, execution: str, kept: Mapping[str, Any]) -> bool:
        """False: it could not be opened just now. The others do not wait for it."""
        try:
            place, policy = Place.parse(dict(kept)), Policy.parse(kept["policy"])
            if kept["boot"] != self._boot:
                raise errors.SandboxGone("of another boot")
            await self.open(place, policy, again=True)
        except (errors.SandboxGone, AttributeError, TypeError, KeyError, ValueError) as gone:
            log.info("%s stays closed: %s", execution, gone)
            return await self._quietly(self._ask(self._store.drop, self._node, execution))
        except (errors.KnifyError, redis.RedisError, OSError) as failed:
            log.warning("%s is not open yet: %s", execution, failed)
            return False
        return True

    async def _is_wanted(self, execution: str) -> bool:
        """Whether it was open, and nobody has closed it: perhaps we did, unheard by Redis."""
        if any(door.place.execution == execution for door in self._behind):
            return False
        return await self._ask(self._store.is_kept, self._node, execution)

    async def refresh(self, execution: str) -> None:
        """Somebody changed what it may reach."""
        door = self._open.get(execution)
        if door is not None:
            self._change(door, await self._ask(self._store.look, execution))

    def _change(self, door: Door, look: Look) -> None:
        policy = door.policy.changed(look.network)
        if policy != door.policy:
            door.policy = policy
            log.info("the network of %s was changed", door.place.execution)

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What is to be done for ever, side by side: none of it may end."""
        return [self._end_overdue(), self._settle_all(), self._check_all(), self._tell_all()]

    async def _end_overdue(self) -> None:
        """Waits for nothing but the clock."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for door in [*self._open.values(), *self._behind]:
                try:
                    door.abort_overdue(now)
                except Exception:
                    log.exception("the deadlines of %s", door.place.execution)

    async def _settle_all(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self._together(self._settle_later, list(self._behind))

    async def _check_all(self) -> None:
        """Close what has ended, hear what a message did not say."""
        while True:
            is_whole = await self._quietly(self.reopen())
            await self._together(self._check, list(self._open.values()))
            await asyncio.sleep(_CHECK_SECONDS if is_whole else TICK_SECONDS)

    async def _tell_all(self) -> None:
        """What there is to be told, into Redis."""
        while True:
            await self._news.wait()
            self._news.clear()
            doors = [*self._open.values(), *self._behind]
            behind = [door for door in doors if not door.told.is_saved]
            if not await self._together(lambda door: door.told.save(), behind):
                self._news.set()
                await asyncio.sleep(TICK_SECONDS)

    async def _check(self, door: Door) -> None:
        execution = door.place.execution
        look = await self._ask(self._store.look, execution)
        if self._open.get(execution) is not door:
            return
        if look.is_past or not door.is_open:
            await self.close(execution, door.place.sandbox)
        else:
            self._change(door, look)

    async def _together(self, work: Callable[[Door], Awaitable[object]], doors: list[Door]) -> bool:
        """Each by itself, some at a time; whether all went well."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(door: Door) -> bool:
            async with turns:
                return await self._quietly(work(door))

        return all(await asyncio.gather(*map(one, doors)))

    async def _quietly(self, work: Awaitable[object]) -> bool:
        """What it says, else True; False when it failed, of which the log tells."""
        try:
            return await work is not False
        except (errors.KnifyError, redis.RedisError, OSError) as failed:
            log.warning("doors: %s", failed)
        except Exception:
            log.exception("doors")
        return False

    def _shut(self, door: Door) -> None:
        """At once; it is looked after until Redis knows all of it."""
        door.close()
        self._open.pop(door.place.execution, None)
        self._behind.add(door)

    async def _settle_later(self, door: Door) -> None:
        async with self._lock(door.place.sandbox):
            if door in self._behind:
                await self._settle(door)

    async def _settle(self, door: Door) -> bool:
        if not await door.settle():
            return False
        if door.place.execution not in self._open:
            await self._ask(self._store.drop, self._node, door.place.execution)
        self._behind.discard(door)
        return True

    def get(self, execution: str) -> Door | None:
        """The open one."""
        return self._open.get(execution)

    @property
    def connections(self) -> int:
        """Of all of them."""
        return sum(door.connections for door in self._open.values())

    async def close_all(self) -> None:
        """At the end of this process: Redis keeps the table for the next one."""
        doors = [*self._open.values(), *self._behind]
        for door in doors:
            door.close()
        await asyncio.gather(*(self._quietly(door.settle()) for door in doors))

    def _lock(self, sandbox: str) -> asyncio.Lock:
        return self._locks.setdefault(sandbox, asyncio.Lock())

    async def _ask(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.to_thread(function, *arguments)
