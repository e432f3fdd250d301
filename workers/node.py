"""One worker process on its node: the driver's loop, the watcher, and the node's heartbeat."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import redis

from knify import (
    __version__,
    clock,
    core,
    errors,
    failpoints,
    install,
    leases,
    repair,
    settings,
)
from knify.host import busybox, probe
from knify.lifecycle import SandboxState
from knify.runner import Runner
from knify.sandbox import base as sandbox_base
from knify.sandbox import podman
from knify.store import keys
from knify.store.redis import connect as connect_redis
from knify.watch import Watcher

log = logging.getLogger(__name__)

_REPAIR_SECONDS = 60.0
_MEASURE_SECONDS = 5.0
_HEARTBEAT_SECONDS = 10.0  # the record outlives six of them
_current: list[Node] = []


def current() -> Node:
    """The node that this process serves."""
    return _current[0]


def is_served() -> bool:
    """Whether this process serves a node by now."""
    return bool(_current)


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


def podman_driver(config: settings.Settings, installation: str) -> sandbox_base.Driver:
    """The driver of this node's Podman."""
    facts = probe.facts_or_probe(config)
    return podman.PodmanDriver(config.podman, installation, facts, busybox.require())


class Node:
    """What a worker process needs to drive sandboxes on its Podman host."""

    def __init__(
        self,
        config: settings.Settings,
        make_driver: Callable[[settings.Settings, str], sandbox_base.Driver] = podman_driver,
    ) -> None:
        """`make_driver` gets the settings and the installation's id; tests have their own."""
        self.core = core.connect(config)
        self._config = config
        self._installation = self.core.store.registry.installation(install.marked(config))
        self._loop = Loop()
        self.driver = failpoints.around(make_driver(config, self._installation))
        self._threads = ThreadPoolExecutor(config.slots + 8, thread_name_prefix="steps")
        self.leases = leases.Leases(
            self.core.store.executions,
            leases.Owner.this_process(config.node),
            seconds=config.lease_seconds,
            slots=config.slots,
        )
        self.watcher = Watcher(self.core, self.driver, self.leases, self._loop.loop, self._threads)
        self.runner = Runner(
            self.core, Bridge(self._loop, self.driver), self.leases, self.watcher.follow
        )
        self.watcher.conclude = self.runner.conclude

    def start(self) -> None:
        """Begin to serve: takes over at once what a dead process of this node left behind."""
        self._loop.call(self._prepare(), 60)
        for name, seconds, function in (
            ("renew leases", self._config.lease_seconds / 5, self._renew),
            ("heartbeat", _HEARTBEAT_SECONDS, self._beat),
            ("removals", _HEARTBEAT_SECONDS, self._remove_deleted),
            ("repair", _REPAIR_SECONDS, self._repair),
            ("disk limits", _MEASURE_SECONDS, self.watcher.measure),
        ):
            self._soon(self._forever(name, seconds, function))
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        self._threads.submit(self._take_over)
        _current[:] = [self]

    def stop(self) -> None:
        """Follow nothing any more; commands go on, and the next process picks them up."""
        self._loop.call(self.watcher.stop(), 5)

    def remove(self, sandbox_id: str) -> None:
        """Remove the container and volumes of a sandbox that is deleted in Redis."""
        found = self.core.store.sandboxes.find(sandbox_id)
        if found is not None and found.state is not SandboxState.DELETED:
            return
        self._loop.call(self.driver.remove(sandbox_id), 30)
        self.core.store.sandboxes.removed(self._config.node, sandbox_id)
        log.info("%s removed", sandbox_id)

    async def _prepare(self) -> None:
        """Wait for Podman, which may still be starting, then make what sandboxes share."""
        while True:
            try:
                await self.driver.ping()
                await self.driver.prepare()
                return
            except errors.SandboxError as failed:
                log.warning("waiting for Podman: %s", failed)
                await asyncio.sleep(0.2)

    def _take_over(self) -> None:
        """Look after what this node's dead processes left; the sweeper would, but later."""
        for x in self.core.store.executions.active(self._config.node):
            self._threads.submit(self.runner.advance, x.id)

    async def _forever(
        self, name: str, seconds: float, function: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await function()
            except (errors.KnifyError, redis.RedisError, OSError) as failed:
                log.warning("%s: %s", name, failed)
            await asyncio.sleep(seconds)

    async def _renew(self) -> None:
        lost, cancelled = await self.watcher.thread(self.leases.renew)
        for execution_id in lost:
            self.watcher.abandon(execution_id)
        for execution_id in cancelled:
            self.watcher.cancel(execution_id)

    async def _beat(self) -> None:
        """Say what this node offers; also the moment for removals that a lost hint left."""
        facts: dict[str, Any] = {
            "version": __version__,
            "time": clock.now_ms(),
            "slots": self._config.slots,
            "cpus": os.cpu_count(),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "podman": "ok",
            "images": [],
        }
        try:
            await self.driver.ping()
            facts["images"] = [image.name for image in await self.driver.images()]
        except errors.SandboxError as failed:
            facts["podman"] = failed.message
        await self.watcher.thread(self._say, facts)

    def _say(self, facts: dict[str, Any]) -> None:
        self.core.store.registry.heartbeat(self._config.node, facts, clock.now_ms())

    async def _remove_deleted(self) -> None:
        """What a lost hint left."""
        removals = self.core.store.sandboxes.removals
        for sandbox_id in await self.watcher.thread(removals, self._config.node):
            await self._quietly(self.remove, sandbox_id)

    async def _repair(self) -> None:
        """Podman held against Redis."""
        found = await self.driver.owned()
        stop, remove = await self.watcher.thread(repair.wrong, self.core.store, found)
        for sandbox_id in stop:
            await self.driver.stop(f"knify-{sandbox_id}")
        for sandbox_id in remove:
            await self._quietly(self.remove, sandbox_id)

    async def _quietly(self, function: Callable[[str], None], sandbox_id: str) -> None:
        try:
            await self.watcher.thread(function, sandbox_id)
        except errors.SandboxError as failed:
            log.warning("%s: %s", sandbox_id, failed)

    def _listen(self) -> None:
        """Hear of cancellations at once; a missed one comes with the next renewal."""
        client = connect_redis(self._config.redis, timeout=30)
        while True:
            try:
                pubsub = client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(keys.node(self._config.node))
                while True:
                    message = pubsub.get_message(timeout=20)
                    verb, _, execution_id = (message["data"] if message else "").partition(" ")
                    if verb == "cancel":
                        self.watcher.cancel(execution_id)
            except redis.RedisError as away:
                log.warning("control channel: %s", away)
                threading.Event().wait(1)

    def _soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop.loop)
