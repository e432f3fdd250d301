"""One Podman service for the whole run; each test drives it as an installation of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from knify import errors, ids
from knify.sandbox import podman
from tests.sandbox import engine


@pytest.fixture(scope="session")
def podman_url() -> Iterator[str]:
    """The URL of a running service, or a skip that says what is missing."""
    reason = engine.missing()
    if reason is not None:
        if os.environ.get("CI") or os.environ.get("KNIFY_CI"):
            pytest.fail(f"Podman cannot be tested: {reason}")
        pytest.skip(reason)
    with engine.service() as url:
        yield url


@pytest.fixture
def installation(podman_url: str) -> Iterator[str]:
    """A fresh installation's name; all that it made is removed in the end."""
    name = f"test{ids.nonce()[:8]}"
    yield name
    asyncio.run(_clean(podman_url, name))
    asyncio.run(_clean(podman_url, f"{name}x"))  # the other one, where a test needs two


async def _clean(url: str, name: str) -> None:
    driver = podman.PodmanDriver(url, name, engine.FACTS)
    for sandbox in await _sandboxes(driver):
        await driver.remove(sandbox)
    for row in await _listed(lambda: driver._api.call("GET", "/volumes/json")):
        if (row.get("Labels") or {}).get("knify.installation") == name:
            with contextlib.suppress(Exception):
                await driver._api.call("DELETE", f"/volumes/{row['Name']}")


async def _sandboxes(driver: podman.PodmanDriver) -> set[str]:
    return {row.sandbox_id for row in await _listed(driver.owned)}


async def _listed(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Podman's lists fail when a volume, whosever it is, goes in the midst of it."""
    for _ in range(50):
        with contextlib.suppress(errors.SandboxError):
            return await ask()
        await asyncio.sleep(0.1)
    return await ask()


async def collect(frames: AsyncIterator[tuple[int, bytes]]) -> tuple[bytes, bytes]:
    """All of stdout and of stderr."""
    out: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
    async for stream, data in frames:
        assert len(data) <= 32 * 1024
        out[stream] += data
    return bytes(out[1]), bytes(out[2])
