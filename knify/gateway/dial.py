"""Connections to the outside: resolved once, checked, and then exactly there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from knify import egress, errors
from knify.gateway.policy import Policy

CONNECT_SECONDS: Final = 10.0
_TRIED: Final = 3  # addresses of one name
_AT_ONCE: Final = 64  # names that are being resolved
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Dialer:
    """Opens connections for sandboxes, as their policies allow."""

    def __init__(
        self, mapped: Mapping[str, tuple[str, int]], lookup: egress.Resolver | None = None
    ) -> None:
        """`mapped`: names that the operator gave an address and a port (`KNIFY_EGRESS_HOSTS`)."""
        self._mapped = mapped
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dial")

    async def open(
        self, target: egress.Target, policy: Policy, names: asyncio.Semaphore
    ) -> Connection:
        """A connection to the target. EgressRefused, NameUnknown, OSError.

        `names`: how many one sandbox may have resolved at one time, so that it does not take all
        threads for names whose servers never answer.
        """
        policy.check(target)
        last: OSError = ConnectionRefusedError("no address answers")
        async with names:
            addresses = await self._addresses(target, policy)
        for address, port in addresses:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(address, port)
            except OSError as failed:  # TimeoutError is one
                last = failed
        raise last

    async def _addresses(self, target: egress.Target, policy: Policy) -> list[tuple[str, int]]:
        if target.host in self._mapped and not policy.names(target):
            # Perhaps a private host: `full` alone does not reach it.
            raise errors.EgressRefused("it is of the operator's network: name it")
        return await self.addresses(target)

    async def addresses(self, target: egress.Target) -> list[tuple[str, int]]:
        """Where the target is, whoever asks. EgressRefused, NameUnknown."""
        mapped = self._mapped.get(target.host)
        if mapped is not None:
            return [mapped]

        def resolve() -> list[egress.Address]:
            return egress.resolve(target, lookup=self._lookup)

        found = await asyncio.get_running_loop().run_in_executor(self._threads, resolve)
        return [(str(address), target.port) for address in found[:_TRIED]]
