"""Stopping real containers: everything in them is dead at once, and they start again at once."""

from __future__ import annotations

import asyncio

import pytest

from knify import errors, ids
from knify.sandbox import base, hostfs, podman
from tests.sandbox import engine
from tests.sandbox.conftest import collect

pytestmark = pytest.mark.podman
LEAVE_SOMETHING = ("sh", "-c", "seq 100; setsid sleep 1000 & sleep 1000")


def test_a_stopped_sandbox_starts_again_at_once(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        driver = podman.PodmanDriver(podman_url, installation, engine.FACTS)
        container = await driver.create(base.SandboxRequest(ids.new("sbx"), engine.IMAGE))
        for turn in range(5):
            channel = await driver.attach(container)
            await channel.run(base.Turn(f"job_{turn}", ids.nonce(), LEAVE_SOMETHING))
            with pytest.raises(errors.SandboxRuns):
                await driver.attach(container)
            await driver.stop(container)
            await channel.close()

            status = await driver.inspect(container)
            assert status is not None and not status.running

        channel = await driver.attach(container)
        await channel.run(base.Turn("job_last", ids.nonce(), ("sh", "-c", "ps | wc -l; echo end")))
        out, _ = await collect(channel.frames())
        assert out.endswith(b"end\n")
        await channel.close()

    asyncio.run(scenario())


def test_a_process_of_another_container_is_never_killed() -> None:
    own_pid = 1

    assert hostfs.kill(own_pid, "0" * 64)  # it is not that container's, so that one is dead
