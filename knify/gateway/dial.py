"""Connections to the outside: resolved once, checked, and then exactly there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from knify import egress, errors
from knify.gateway import line as lines
from knify.gateway.policy import Policy

CONNECT_SECONDS: Final = 10.0
_TRIED: Final = 3  # addresses of one name
_AT_ONCE: Final = 256  # names that are being resolved: a thread each, made when it is needed
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
        self.check(target, policy)
        last: OSError = ConnectionRefusedError("no address answers")
        for address, port in await self._in_time(target, names):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(address, port, limit=lines.READ_BYTES)
            except OSError as failed:  # TimeoutError is one
                last = failed
        raise last

    def check(self, target: egress.Target, policy: Policy) -> None:
        """EgressRefused unless the policy lets it be reached, as far as the name alone tells."""
        policy.check(target)
        if target.host in self._mapped and not policy.names(target):
            # Perhaps a private host: `full` alone does not reach it.
            raise errors.EgressRefused("it is of the operator's network: name it")

    async def _in_time(
        self, target: egress.Target, names: asyncio.Semaphore
    ) -> list[tuple[str, int]]:
        """A name that is given up keeps its place until its thread is free again."""
        await names.acquire()
        asked = asyncio.ensure_future(self.addresses(target))

        def answered(future: asyncio.Future[list[tuple[str, int]]]) -> None:
            names.release()
            if not future.cancelled():
                future.exception()  # it was told, or nobody waits for it any more

        asked.add_done_callback(answered)
        try:
            return await asyncio.wait_for(asyncio.shield(asked), egress.RESOLVE_SECONDS)
        except TimeoutError as late:
            raise errors.NameUnknown(f"{target.host} was not resolved in time") from late

    async def addresses(self, target: egress.Target) -> list[tuple[str, int]]:
        """Where the target is, whoever asks. EgressRefused, NameUnknown."""
        mapped = self._mapped.get(target.host)
        if mapped is not None:
            return [mapped]

        def resolve() -> list[egress.Address]:
            return egress.resolve(target, lookup=self._lookup, seconds=None)

        found = await asyncio.get_running_loop().run_in_executor(self._threads, resolve)
        return [(str(address), target.port) for address in found[:_TRIED]]
