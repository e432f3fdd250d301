"""One worker process on its node: the driver's loop, the watcher, and the node's heartbeat."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import redis

from knify import (
    core,
    counters,
    deliver,
    epoch,
    errors,
    failpoints,
    healthy,
    install,
    leases,
    metering,
    repair,
    settings,
)
from knify.gateway import client as gateway
from knify.host import busybox, probe
from knify.runner import Runner
from knify.sandbox import base as sandbox_base
from knify.sandbox import podman
from knify.services import trees
from knify.store import keys
from knify.store.redis import connect as connect_redis
from knify.watch import Watcher
from workers import checkup, duty, timed
from workers.heartbeat import Heartbeat
from workers.loop import Bridge, Loop

log = logging.getLogger(__name__)

_REPAIR_SECONDS = 60.0
_MEASURE_SECONDS = 5.0
_COOL_SECONDS = 3.0  # of a stop's time
_DELIVER_SECONDS = 1.0  # of a stop's time
_START_SECONDS = 60.0
_HEARTBEAT_SECONDS = 10.0  # the record outlives six of them
_current: list[Node] = []


def current() -> Node:
    """The node that this process serves."""
    return _current[0]


def is_served() -> bool:
    """Whether this process serves a node by now."""
    return bool(_current)


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
        self.core.store.registry.upgrade()
        self._loop = Loop()
        self._tasks: list[Future[None]] = []
        self.driver = timed.around(failpoints.around(make_driver(config, self._installation)))
        self._epoch = epoch.Epoch(self.core.store.registry, config)
        self._mend = repair.Repair(self.core, config.node, config.orphan_hours)
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
        self._meter = metering.Meter(self.driver, self.core.store.samples)
        self.watcher.meter = self._meter
        self.keeper = self.runner.keeper
        self._trees = trees.Trees(self.core, self.leases.owner.boot_id)
        self._heartbeat = Heartbeat(self.core, self.driver, self.leases.owner)
        self._deliverer = deliver.Deliverer(self.core)

    def start(self) -> None:
        """Begin to serve: takes over at once what a dead process of this node left behind."""
        self._heartbeat.take_name()
        self._loop.call(self._prepare(), 60)
        self._loop.call(self._beat(), 60)  # the first claim must find what this node can hold
        if self._epoch.look():
            self._loop.call(self._adopt(), 60)
        for name, seconds, function in (
            ("renew leases", self._config.lease_seconds / 5, self._renew),
            ("heartbeat", _HEARTBEAT_SECONDS, self._beat),
            ("removals", _HEARTBEAT_SECONDS, self._remove_deleted),
            ("repair", _REPAIR_SECONDS, self._repair),
            ("disk limits", _MEASURE_SECONDS, self.watcher.measure),
            ("metrics", metering.TICK, self._sample),
            ("counters", counters.SECONDS, self._count),
            ("alive", _HEARTBEAT_SECONDS, self._live),
        ):
            self._soon(self._forever(name, seconds, function))
        self._soon(gateway.Client(self._config.gateway).meet(self._beat))
        threading.Thread(target=self._listen, name="control", daemon=True).start()
        duty.begin("hot sandboxes", self.keeper.cooling, self.keeper.cool_due)
        duty.begin("archives", self.keeper.archiving, self.keeper.archive_due)
        duty.begin("checkup", threading.Event(), functools.partial(checkup.look, self.core))
        self._deliverer.start()
        self._threads.submit(self._take_over)
        _current[:] = [self]

    def stop(self) -> None:
        """Follow nothing any more; commands go on, and the next process picks them up."""
        counts = self.core.store.counts.keep
        for what in (
            *(self._unfollow, self._cool, self._save_epoch),
            *(self._stop_delivering, counts),
        ):
            try:
                what()
            except (errors.KnifyError, redis.RedisError, OSError) as failed:
                log.warning("stopping: %s", failed)

    def _unfollow(self) -> None:
        self._loop.call(self.watcher.stop(), 4)

    def _cool(self) -> None:
        self.keeper.cool_all(_COOL_SECONDS)

    def _save_epoch(self) -> None:
        self._epoch.look()
        self._epoch.save()

    def _stop_delivering(self) -> None:
        self._deliverer.stop(_DELIVER_SECONDS)

    def remove(self, sandbox_id: str) -> None:
        """Remove what this node has of a sandbox that is deleted, or lives elsewhere."""
        self.keeper.remove(sandbox_id)

    async def _prepare(self) -> None:
        """Wait for Podman, which may still be starting, then make what sandboxes share."""
        while True:
            try:
                await self.driver.ping()
                await self.driver.prepare()
                await asyncio.to_thread(self._heartbeat.find_storage)
                return
            except errors.SandboxError as failed:
                log.warning("waiting for Podman: %s", failed)
                await asyncio.sleep(0.2)

    def _take_over(self) -> None:
        """Look after what this node's dead processes left; the sweeper would, but later."""
        for x in self.core.store.executions.active(self._config.node):
            self._threads.submit(self.runner.advance, x.id)
        self.keeper.cool_all(_START_SECONDS)
        found = self._loop.call(self.driver.owned(), _START_SECONDS)
        self.core.store.sandboxes.shelve({row.sandbox_id for row in found})

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
        if await self.watcher.thread(self._epoch.look):
            await self._begin_anew()
        lost, cancelled, over = await self.watcher.thread(self.leases.renew)
        for execution_id in lost:
            self.watcher.abandon(execution_id)
        for execution_id, force in cancelled:
            self.watcher.cancel(execution_id, force=force)
        for execution_id in over:
            await self.watcher.thread(self._end_over_budget, execution_id)

    def _end_over_budget(self, execution_id: str) -> None:
        why = self.core.store.notices.over(execution_id)
        if why is not None:
            self.watcher.overspent(execution_id, why)

    async def _begin_anew(self) -> None:
        """Redis was put back: what is followed here is let go, and claimed as Redis knows it."""
        await self.watcher.stop()
        try:
            await self._adopt()
        except errors.SandboxError as failed:  # the next repair does it
            log.warning("what lives here is not told yet: %s", failed)
        self._threads.submit(self._take_over)

    async def _adopt(self) -> None:
        await self.watcher.thread(self._mend.adopt, await self.driver.owned())

    async def _beat(self) -> None:
        await self._heartbeat.beat(self.watcher.thread)
        await self.watcher.thread(self._epoch.save)

    async def _count(self) -> None:
        await self.watcher.thread(self.core.store.counts.keep)

    async def _live(self) -> None:
        await self.watcher.thread(healthy.note, self._config, "worker", self._installation)

    async def _sample(self) -> None:
        found = await self._meter.look(self.watcher.turns())
        if found:
            await self.watcher.thread(self._meter.keep, found)

    async def _remove_deleted(self) -> None:
        """What a lost hint left."""
        removals = self.core.store.sandboxes.removals
        for sandbox_id in await self.watcher.thread(removals, self._config.node):
            await self._quietly(self.remove, sandbox_id)

    async def _repair(self) -> None:
        """Podman held against Redis and Redis against Podman; what counts as used, too."""
        mend, thread = self._mend, self.watcher.thread
        drift = await thread(self.core.store.admission.recount, self._config.node)
        if drift is not None:
            log.warning("the counters of what is used were wrong: %s", drift)
        await thread(self._trees.tidy)
        expected = await thread(mend.expected)
        found = await self.driver.owned()
        await thread(mend.adopt, found)
        wrong = await thread(mend.wrong, found)
        for sandbox_id in wrong.stop:
            await self._quietly(self.keeper.cool, sandbox_id)  # a turn may have come meanwhile
        for sandbox_id in wrong.remove:
            await self._quietly(self.remove, sandbox_id)
        for orphan in await thread(mend.orphans, wrong.unknown):
            log.warning("%s was not known for too long: removed", orphan.id)
            await self.driver.remove(orphan.id)
        await thread(mend.lose, expected, found)

    async def _quietly(self, function: Callable[[str], object], sandbox_id: str) -> None:
        try:
            await self.watcher.thread(function, sandbox_id)
        except errors.SandboxError as failed:
            log.warning("%s: %s", sandbox_id, failed)

    def _listen(self) -> None:
        """Hear at once of what has to be ended or done; what is missed here is found in time."""
        client = connect_redis(self._config.redis, timeout=30)
        while True:
            try:
                pubsub = client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(keys.node(self._config.node), keys.WEBHOOKS)
                while True:
                    message = pubsub.get_message(timeout=20)
                    verb, _, execution_id = (message["data"] if message else "").partition(" ")
                    if verb in ("cancel", "kill"):
                        self.watcher.cancel(execution_id, force=verb == "kill")
                    elif verb == "typed":
                        self.watcher.typed(execution_id)
                    elif verb == "budget":
                        self._end_over_budget(execution_id)
                    elif verb == "tidy":
                        self.keeper.archiving.set()
                    elif verb == "due":
                        self._deliverer.wake()
            except redis.RedisError as away:
                log.warning("control channel: %s", away)
                threading.Event().wait(1)

    def _soon(self, coroutine: Coroutine[Any, Any, None]) -> None:
        # A loop holds its tasks weakly: one that waits for a socket would be collected.
        self._tasks.append(asyncio.run_coroutine_threadsafe(coroutine, self._loop.loop))
