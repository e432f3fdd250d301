"""Where the time of one fresh sandbox goes: `python -m tests.sandbox.timing`."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import AsyncIterator

from knify import ids
from knify.sandbox import base, podman
from tests.sandbox import engine


async def once(driver: podman.PodmanDriver) -> dict[str, float]:
    """Milliseconds of each step."""
    spent: dict[str, float] = {}
    sandbox = ids.new("sbx")
    last = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        spent[name] = (now - last) * 1000
        last = now

    container = await driver.create(base.SandboxRequest(sandbox, engine.IMAGE))
    lap("create")
    channel = await driver.attach(container)
    lap("attach+start+hello")
    turn = base.Turn("exec_1", ids.nonce(), ("true",))
    await channel.run(turn)
    lap("run")
    async for _ in channel.frames():
        pass
    lap("end of true")
    spent["fresh total"] = sum(spent.values())
    second = base.Turn("exec_2", ids.nonce(), ("true",))
    await channel.run(second)
    async for _ in channel.frames():
        pass
    lap("second turn")
    await channel.close()
    await driver.stop(container)
    lap("stop")
    again = await driver.attach(container)
    lap("attach stopped")
    await turn_of(again, 3)
    lap("turn behind it")
    await driver.freeze(container)
    lap("freeze")
    await again.close()
    last = time.perf_counter()
    hot = await driver.thaw(container)
    lap("thaw")
    await turn_of(hot, 4)
    lap("turn behind it ")
    await hot.close()
    seen = await driver._containers.look(container)
    os.kill(seen["State"]["ConmonPid"], signal.SIGKILL)
    last = time.perf_counter()
    await driver.stop(container)
    lap("stop without conmon")
    container = await driver.rebuild(base.SandboxRequest(sandbox, engine.IMAGE))
    lap("rebuild")
    await driver.remove(sandbox)
    lap("remove")
    return spent


async def turn_of(channel: base.Channel, number: int) -> None:
    """From the order to the first byte."""
    await channel.run(base.Turn(f"exec_{number}", ids.nonce(), ("echo", "x")))
    async for _ in channel.frames():
        break


async def files(driver: podman.PodmanDriver, count: int, size: int) -> None:
    """Pack, unpack and digest of so many files."""
    request = base.SandboxRequest(ids.new("sbx"), engine.IMAGE)
    await driver.create(request)
    root = await driver.workspace_root(request.sandbox_id)
    for number in range(count):
        folder = root / f"{number % 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}").write_bytes(os.urandom(size))
    began = time.perf_counter()
    chunks = [chunk async for chunk in driver.pack(request.sandbox_id)]
    packed = time.perf_counter()
    await driver.digest(request.sandbox_id)
    hashed = time.perf_counter()

    async def again() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    await driver.unpack(request, again())
    unpacked = time.perf_counter()
    await driver.rebuild(request)
    rebuilt = time.perf_counter()
    await driver.remove(request.sandbox_id)
    for name, spent in (
        ("pack", packed - began),
        ("digest", hashed - packed),
        ("unpack", unpacked - hashed),
        ("rebuild", rebuilt - unpacked),
    ):
        amount = count * size / spent / 1e6
        print(f"{name:8} {count} x {size}: {count / spent:8.0f} files/s {amount:7.1f} MB/s")


async def main(rounds: int = 12) -> None:
    """Print medians."""
    with engine.service() as url:
        driver = podman.PodmanDriver(url, "timing", engine.FACTS)
        await driver.prepare()
        await files(driver, 10_000, 1_000)
        await files(driver, 20, 10_000_000)
        rows = [await once(driver) for _ in range(rounds)]
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:20} {statistics.median(values):7.1f} ms  (best {min(values):.1f})")


if __name__ == "__main__":
    asyncio.run(main())
