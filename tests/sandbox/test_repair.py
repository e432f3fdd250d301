"""Two installations on one Podman: the one with an empty Redis touches nothing of the other."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from knify import core, hints, repair, settings
from knify.sandbox import base, podman
from tests.sandbox import engine

pytestmark = pytest.mark.podman


def test_an_emptied_installation_quarantines_its_own_and_leaves_the_neighbours(
    podman_url: str, installation: str, redis_url: str, tmp_path: Path
) -> None:
    environ = {"KNIFY_HOME": str(tmp_path), "KNIFY_REDIS_URL": redis_url}
    connected = core.connect(settings.load(environ), hints.RecordedHints())

    async def scenario() -> None:
        own, neighbour = (
            podman.PodmanDriver(podman_url, name, engine.FACTS)
            for name in (installation, f"{installation}x")
        )
        running = {}
        for driver in (own, neighbour):
            request = base.SandboxRequest(f"sandbox_{driver._installation}", engine.IMAGE)
            container = await driver.create(request)
            running[driver] = (container, await driver.attach(container))
        mend = repair.Repair(connected, "n", orphan_hours=0)

        found = await own.owned()
        wrong = mend.wrong(found)
        for sandbox_id in wrong.stop:
            await own.stop(f"knify-{sandbox_id}")
        assert wrong.stop == [f"sandbox_{installation}"]
        assert mend.orphans(wrong.unknown) == []
        stopped = await own.inspect(running[own][0])
        assert stopped is not None
        assert not stopped.running
        while not (over := mend.orphans(wrong.unknown)):
            await asyncio.sleep(0.01)
        for orphan in over:
            await own.remove(orphan.id)

        assert await own.owned() == []
        assert {row.kind for row in await neighbour.owned()} == {"container", "volume"}
        untouched = await neighbour.inspect(running[neighbour][0])
        assert untouched is not None
        assert untouched.running
        for _, channel in running.values():
            await channel.close()

    asyncio.run(scenario())
