"""`knify gateway`: the process that lets sandboxes out, one for each node."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import resource
import signal
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import redis

from knify import counters, egress, errors, ids, kinds, logs
from knify import settings as settings_module
from knify.agents import models
from knify.gateway import browser, calls, dial, git, places, prices, remote, vendors
from knify.gateway import line as lines
from knify.gateway.account import Account
from knify.gateway.control import Control
from knify.gateway.door import Door, Place, Serve
from knify.gateway.doors import Doors
from knify.gateway.policy import Policy
from knify.gateway.postgres import declared, port
from knify.gateway.proxy import Proxy
from knify.gateway.told import Told
from knify.store import keys, ready
from knify.store import open as store_open
from knify.store.redis import connect

log = logging.getLogger(__name__)

_FILES = 65_536  # open files that it asks for: two for each connection
_THREADS = 32


class Gateway:
    """All of it; `run` ends with SIGTERM."""

    def __init__(
        self, config: settings_module.Settings, lookup: egress.Resolver | None = None
    ) -> None:
        """`lookup` replaces the system's resolver in tests."""
        self._config = config
        self._dialer = dial.Dialer(config.egress_hosts, lookup)
        self._proxy = Proxy(self._dialer)
        self._logins = git.load(config.git_credentials_file)
        self._vendors = vendors.Vendors(config, os.environ)
        self._prices = prices.load(config.prices_file)
        self._tls = _tls(config)
        self._browser = browser.Browser(remote.load(os.environ), self._tls, config.browser_tenants)
        self._databases = port.Port(declared.load(config.databases_file), self._tls)
        self._calls: calls.Calls | None = None  # within the loop only
        self._git: git.Git | None = None
        store, life = store_open.from_settings(config), ids.nonce()
        self._counts = store.counts

        def books(execution: str, news: Callable[[], None]) -> tuple[Account, Told]:
            return Account(store.usages, execution, life), Told(store.notices, execution, news)

        self.doors = Doors(store.doors, config.node, _boot(), self._ports, books, places.measured())
        self._control = Control(self.doors, self._status, self._git_hosts, self._services)

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT. The exit code: 1 when it cannot go on."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        threading.Thread(target=self._hear, args=(loop,), name="control", daemon=True).start()
        waits = asyncio.create_task(ended.wait())
        async with self.serving() as work:
            log.info("serving %s", self._config.gateway)
            done, _ = await asyncio.wait([waits, *work], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waits}:  # another process shall do it
                log.critical("it ends: what it always does has ended", exc_info=task.exception())
        return 0 if waits.done() else 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        """All doors that were open before, and the control socket. What it always does."""
        self._calls = calls.Calls(self._vendors, self._prices, self._tls, self._config.vendor_tools)
        self._git = git.Git(self._logins, self._dialer, self._tls, push=self._config.git_push)
        # Redis is asked in threads: one that hangs must not take all of a small pool.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        server = await self._control.listen(self._config.gateway)
        look = asyncio.create_task(self._browser.look())
        work = [asyncio.create_task(each) for each in (*self.doors.work(), self._count())]
        try:
            yield work
        finally:
            for task in (look, *work):
                task.cancel()
            server.close()
            self._config.gateway.unlink(missing_ok=True)
            await self.doors.close_all()
            await self._databases.close()
            await self._calls.close()
            await self._git.close()

    async def _count(self) -> None:
        """For ever: what is counted goes to Redis."""
        while True:
            await asyncio.sleep(counters.SECONDS)
            try:
                await asyncio.to_thread(self._counts.keep)
            except redis.RedisError as away:
                log.warning("counters wait for Redis: %s", away)

    async def _serve(self, door: Door, line: lines.Line) -> None:
        while True:
            request = await line.request()
            if request.method == b"CONNECT":
                await self._proxy.connect(door, line, request)
                return
            if not request.target.startswith(b"/"):
                await self._proxy.forward(door, line, request)
            elif request.target.startswith(models.GIT.encode()):
                assert self._git is not None
                await self._git.serve(door, line, request)
            elif browser.is_asked(request.target):
                await self._browser.serve(door, line, request)
            else:
                assert self._calls is not None
                await self._calls.serve(door, line, request)
            if not line.go_on():
                return

    def _ports(self, policy: Policy) -> dict[int, Serve]:
        """Where a door listens."""
        more = kinds.DATABASES in policy.services
        databases: dict[int, Serve] = {models.DATABASES_PORT: self._databases.serve}
        return (databases if more else {}) | {models.PORT: self._serve}

    def _services(self, place: Place, policy: Policy) -> tuple[str, ...]:
        """Those of a policy's that there are here, for this tenant."""
        there = {
            kinds.BROWSER: self._browser.is_for(place.tenant),
            kinds.DATABASES: bool(self._databases.names(place.tenant)),
        }
        return tuple(name for name in policy.services if there.get(name))

    def _git_hosts(self, policy: Policy) -> list[str]:
        return self._git.hosts(policy) if self._git is not None else []

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "connections": self.doors.connections,
            "providers": self._vendors.configured(),
            "browser": self._browser.kind,
        }

    def _hear(self, loop: asyncio.AbstractEventLoop) -> None:
        """Changes by users, at once; what is missed here is found in time (`Doors.work`)."""
        client = connect(self._config.redis, timeout=30)
        while True:
            try:
                pubsub = client.pubsub(ignore_subscribe_messages=True)
                pubsub.subscribe(keys.node(self._config.node))
                while True:
                    message = pubsub.get_message(timeout=20)
                    verb, _, execution = (message["data"] if message else "").partition(" ")
                    if verb == "network":
                        asyncio.run_coroutine_threadsafe(self.doors.refresh(execution), loop)
            except redis.RedisError as away:
                log.warning("control channel: %s", away)
            except Exception:
                log.exception("control channel")
            threading.Event().wait(1)


def main() -> int:
    """The exit code; errors are one line each."""
    try:
        config = settings_module.load()
        logs.configure(config.log_level, os.environ.get("KNIFY_PART", "gateway"))
        config.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(config.run_dir):
            _take_files()
            ready.wait(config, log.warning)
            return asyncio.run(Gateway(config).run())
    except errors.ConfigError as wrong:
        log.error("%s", wrong.message)
        return 2


@contextmanager
def alone(run_dir: Path, seconds: float = 10.0) -> Iterator[None]:
    """One gateway for each home: two would close each other's doors. ConfigError.

    The one before may be about to end: it is waited for.
    """
    end = time.monotonic() + seconds
    with (run_dir / "gateway.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as taken:
                if time.monotonic() > end:
                    why = f"another gateway serves {run_dir.parent}: one node has one"
                    raise errors.ConfigError(why) from taken
            time.sleep(0.1)
        yield


def _tls(config: settings_module.Settings) -> ssl.SSLContext:
    """With the operator's own authorities beside the public ones."""
    context = ssl.create_default_context()
    if config.egress_ca is not None:
        try:
            context.load_verify_locations(config.egress_ca)
        except OSError as failed:
            raise errors.ConfigError(f"KNIFY_EGRESS_CA cannot be read: {failed}") from failed
    return context


def _take_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


if __name__ == "__main__":
    raise SystemExit(main())
