"""Stopping, freezing, rebuilding, packing: a continued sandbox is the paused one, on any driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from knify import errors, ids
from knify.model import Resources
from knify.sandbox import base, fake, fakehost, podman
from tests.sandbox import engine
from tests.sandbox.conftest import collect

SMALL = Resources(cpus=1, memory=256 * 1024**2, pids=128)
WRITE = ("sh", "-c", "mkdir -p d; echo x >d/f; echo written")
HANG = ("sh", "-c", "echo up; exec sleep 1000")


@dataclass
class Rig:
    """A sandbox with something in it, and a driver."""

    driver: base.Driver
    request: base.SandboxRequest
    container: str

    async def turn(self, channel: base.Channel) -> bytes:
        assert await channel.run(base.Turn(ids.new("job"), ids.nonce(), WRITE))
        out, _ = await collect(channel.frames())
        assert channel.end == base.TurnEnd(0, True)
        return out

    async def digest(self) -> str:
        return await self.driver.digest(self.request.sandbox_id)

    async def packed(self) -> list[bytes]:
        return [chunk async for chunk in self.driver.pack(self.request.sandbox_id)]


Make = Callable[[], base.Driver]


@pytest.fixture(params=["fake", pytest.param("podman", marks=pytest.mark.podman)])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "podman":
        url = request.getfixturevalue("podman_url")
        name = request.getfixturevalue("installation")
        return lambda: podman.PodmanDriver(url, name, engine.FACTS)
    host = fakehost.FakeHost()
    out = base.Stream.OUT
    script = fakehost.Script([(0, out, b"written\n")], files={"d/f": b"x\n"})
    host.script(WRITE, script)
    host.script(HANG, fakehost.Script([(0, out, b"up\n")], hangs=True))
    host.add_image(base.ImageInfo(engine.IMAGE, "e" * 64, "sha256:" + "e" * 64))
    return lambda: fake.FakeDriver(host)


async def rig(make: Make) -> Rig:
    """A sandbox, stopped after one turn."""
    driver = make()
    request = base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL)
    made = Rig(driver, request, await driver.create(request))
    channel = await driver.attach(made.container)
    await made.turn(channel)
    await channel.close()
    await driver.stop(made.container)
    return made


async def chunks(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def test_a_frozen_sandbox_takes_the_next_turn(make: Make) -> None:
    async def scenario() -> None:
        made = await rig(make)
        channel = await made.driver.attach(made.container)
        for _ in range(3):
            assert await made.turn(channel) == b"written\n"
            for _ in range(2):
                await made.driver.freeze(made.container)
            await channel.close()
            status = await made.driver.inspect(made.container)
            assert status is not None and status.running and status.frozen
            with pytest.raises(errors.SandboxRuns):
                await made.driver.attach(made.container)
            with pytest.raises(errors.SandboxRuns):
                await made.packed()
            channel = await made.driver.thaw(made.container)
        await channel.close()
        again = await make().thaw(made.container)  # whoever thawed it died
        assert await made.turn(again) == b"written\n"
        status = await made.driver.inspect(made.container)
        assert status is not None and status.running and not status.frozen
        await again.close()

    asyncio.run(scenario())


def test_a_frozen_sandbox_can_be_stopped_removed_and_rebuilt(make: Make) -> None:
    async def scenario() -> None:
        for verb in ("stop", "grace", "rebuild", "remove"):
            made = await rig(make)
            channel = await made.driver.attach(made.container)
            await made.driver.freeze(made.container)
            await channel.close()
            if verb == "rebuild":
                made.container = await made.driver.rebuild(made.request)
            elif verb == "remove":
                await made.driver.remove(made.request.sandbox_id)
                assert made.request.sandbox_id not in {
                    row.sandbox_id for row in await made.driver.owned()
                }
                continue
            else:
                assert await made.driver.stop(made.container, 5 if verb == "grace" else 0)
            status = await made.driver.inspect(made.container)
            assert status is not None and not status.running and not status.frozen
            channel = await made.driver.thaw(made.container)  # stopped meanwhile: it is started
            assert await made.turn(channel) == b"written\n"
            await channel.close()

    asyncio.run(scenario())


def test_only_an_idle_sandbox_is_frozen(make: Make) -> None:
    async def scenario() -> None:
        made = await rig(make)
        with pytest.raises(errors.SandboxGone):
            await made.driver.freeze(made.container)
        with pytest.raises(errors.SandboxGone):
            await made.driver.freeze("0" * 64)
        with pytest.raises(errors.SandboxGone):
            await made.driver.thaw("0" * 64)
        channel = await made.driver.attach(made.container)
        await channel.run(base.Turn("job_x", ids.nonce(), HANG))
        await anext(aiter(channel.frames()))
        with pytest.raises(errors.SandboxError):
            await made.driver.freeze(made.container)
        await channel.close()

    asyncio.run(scenario())


@pytest.mark.slow
def test_twenty_pauses_change_nothing(make: Make) -> None:
    async def scenario() -> None:
        made = await rig(make)
        known = await made.digest()
        for number in range(20):
            if number % 4 == 3:
                made.container = await made.driver.rebuild(made.request)
            channel = await made.driver.attach(made.container)
            if number % 3 == 0:
                await made.driver.freeze(made.container)
                await channel.close()
                channel = await made.driver.thaw(made.container)
            await channel.close()
            await made.driver.stop(made.container)

            assert await made.digest() == known
            if number % 7 == 6:
                pieces = await made.packed()
                await made.driver.remove(made.request.sandbox_id)
                made.container = await made.driver.unpack(made.request, chunks(pieces))
                assert await made.digest() == known
        channel = await made.driver.attach(made.container)
        assert await made.turn(channel) == b"written\n"
        await channel.close()

    asyncio.run(scenario())


def test_what_is_not_there_cannot_be_packed_or_rebuilt(make: Make) -> None:
    async def scenario() -> None:
        driver, request = make(), base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL)
        await driver.prepare()
        for verb in (driver.rebuild(request), driver.digest(request.sandbox_id)):
            with pytest.raises(errors.SandboxGone):
                await verb
        with pytest.raises(errors.SandboxGone):
            await anext(aiter(driver.pack(request.sandbox_id)))
        unknown = base.SandboxRequest(request.sandbox_id, "localhost/knify/none:1", SMALL)
        with pytest.raises(errors.ImageMissing):
            await driver.unpack(unknown, chunks([]))

    asyncio.run(scenario())


def test_a_torn_archive_leaves_nothing(make: Make) -> None:
    async def scenario() -> None:
        made = await rig(make)
        pieces, known = await made.packed(), await made.digest()
        torn = base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL)

        async def breaks() -> AsyncIterator[bytes]:
            yield pieces[0][:2000]
            raise errors.ObjectStoreError

        with pytest.raises(errors.ObjectStoreError):
            await made.driver.unpack(torn, breaks())
        with pytest.raises(errors.BadRequest):
            await made.driver.unpack(torn, chunks([pieces[0][:2000]]))
        assert torn.sandbox_id not in {row.sandbox_id for row in await made.driver.owned()}
        made.container = await made.driver.unpack(made.request, chunks(pieces))  # over the old one
        assert await made.digest() == known

    asyncio.run(scenario())


def test_a_running_sandbox_is_not_unpacked_over(make: Make) -> None:
    async def scenario() -> None:
        made = await rig(make)
        channel = await made.driver.attach(made.container)
        with pytest.raises(errors.SandboxRuns):
            await made.driver.unpack(made.request, chunks([]))
        await channel.close()

    asyncio.run(scenario())


def test_the_fake_loses_containers_and_gets_full() -> None:
    host = fakehost.FakeHost()
    driver = fake.FakeDriver(host)

    async def scenario() -> None:
        request = base.SandboxRequest("sbx_1", "fake")
        container = await driver.create(request)
        host.vanish(container)
        assert await driver.inspect(container) is None
        rebuilt = await driver.rebuild(request)
        host.containers[rebuilt].stuck = True
        with pytest.raises(errors.SandboxGone):
            await driver.attach(rebuilt)
        host.room = 1
        with pytest.raises(errors.NodeFull):
            await driver.create(base.SandboxRequest("sbx_2", "fake"))

    asyncio.run(scenario())
