"""Where the time of one fresh sandbox goes: `python -m tests.sandbox.timing`."""

from __future__ import annotations

import asyncio
import statistics
import time

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
    await again.close()
    await driver.remove(sandbox)
    lap("remove")
    return spent


async def main(rounds: int = 12) -> None:
    """Print medians."""
    with engine.service() as url:
        driver = podman.PodmanDriver(url, "timing", engine.FACTS)
        await driver.prepare()
        rows = [await once(driver) for _ in range(rounds)]
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:20} {statistics.median(values):7.1f} ms  (best {min(values):.1f})")


if __name__ == "__main__":
    asyncio.run(main())
