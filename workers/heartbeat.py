"""What a node says of itself: that it lives, what it can hold, and what keeps it from more."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from knify import __version__, capacity, clock, credentials, errors, leases
from knify.core import Core
from knify.gateway import client as gateway
from knify.host import size
from knify.sandbox import base as sandbox_base
from knify.sandbox import inventory
from knify.services import jobs

log = logging.getLogger(__name__)

#: Seconds within which a dead machine's heartbeat has run out, and a living one's moved.
_NAME_SECONDS = 75.0


class Heartbeat:
    """The heartbeat of one worker process; those of one machine say the same."""

    def __init__(self, core: Core, driver: sandbox_base.Driver, owner: leases.Owner) -> None:
        self._core = core
        self._driver = driver
        self._node, self._machine = owner.node, owner.boot_id
        self._storage: tuple[Path, ...] = ()
        self._gateway = gateway.Client(core.settings.gateway)
        self._providers: list[str] = []

    def find_storage(self) -> None:
        """Ask Podman for its folders, as soon as it answers."""
        self._storage = inventory.storage(self._core.settings.podman)

    def take_name(self, seconds: float = _NAME_SECONDS) -> None:
        """Make sure that no other machine lives under this node's name. ConfigError.

        Machines are told apart by their boot; a heartbeat of this machine's last boot runs out.
        """
        first: Any = None
        deadline = time.monotonic() + seconds
        take = self._core.store.registry.take_name
        while (held := take(self._node, self._machine)) is not None:
            first = first or held
            if held.get("time") != first.get("time") or time.monotonic() > deadline:
                raise errors.ConfigError(_taken(self._node))
            time.sleep(0.2)

    async def beat(self, thread: Callable[..., Awaitable[Any]]) -> None:
        """Say it; `thread` runs what blocks.

        Ends the process when another has its name, or when the store was upgraded under it.
        """
        facts: dict[str, Any] = {
            "version": __version__,
            "time": clock.now_ms(),
            "podman": "ok",
            "images": [],
            "agents": credentials.configured(await thread(self._ask_providers)),
        }
        try:
            await self._driver.ping()
            facts["images"] = [image.name for image in await self._driver.images()]
        except errors.SandboxError as failed:
            facts["podman"] = failed.message
        try:
            problem = _taken(self._node) if await thread(self._say, facts) is not None else ""
        except errors.StoreNewer as newer:
            problem = newer.message
        if problem:
            log.error(problem)
            os._exit(1)

    def _ask_providers(self) -> list[str]:
        """Whose models the gateway can ask; while it is away, what it last said."""
        try:
            self._providers = list(self._gateway.status()["providers"])
        except errors.GatewayAway as away:
            log.debug("whose models can be asked is not known: %s", away)
        return self._providers

    def _say(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        """The facts of another machine that has this name."""
        store = self._core.store
        facts |= self._capacity()
        used = store.admission.rooms({self._node: facts})[0]
        facts["used"] = {kind: getattr(used, kind) for kind in ("slots", *capacity.KINDS)}
        beat = store.registry.heartbeat(self._node, facts, machine=self._machine)
        if beat.woken:
            jobs.hint_all(self._core, [beat.woken], self._node)
        return beat.taken

    def _capacity(self) -> dict[str, Any]:
        """What this node can hold, as the settings say or as it is measured now."""
        config = self._core.settings
        places = [*self._storage, config.home]
        if config.object_store.startswith("file://"):
            places.append(Path(config.object_store.removeprefix("file://")))
        return {
            "slots": config.slots,
            "cpus": config.node_cpus,
            "cpu_overcommit": config.cpu_overcommit,
            "memory": config.node_memory or size.memory(),
            "disk": config.node_disk or size.disk(self._storage[0]),
            "low_disk": size.low_disk(places, config.disk_reserve, self._node),
        }


def _taken(node: str) -> str:
    return (
        f"another machine works under the name {node}: give each machine its own KNIFY_NODE "
        "(workers of one machine share one)"
    )
