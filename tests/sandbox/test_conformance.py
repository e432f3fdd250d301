"""What every driver does alike: runs on the fake and on Podman."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from knify import errors, ids
from knify.model import Resources
from knify.sandbox import base, fake, fakehost, podman
from tests.sandbox import engine
from tests.sandbox.conftest import collect

SMALL = Resources(cpus=1, memory=256 * 1024**2, pids=128)
GREET = ("sh", "-c", "echo out; echo err >&2; exit 3")
HANG = ("sh", "-c", "echo up; exec sleep 1000")
UNKNOWN = ("no-such-program",)
Make = Callable[[], tuple[base.Driver, str]]


@pytest.fixture(params=["fake", pytest.param("podman", marks=pytest.mark.podman)])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes drivers of one host, each as another process would, and names an image there."""
    if request.param == "podman":
        url = request.getfixturevalue("podman_url")
        name = request.getfixturevalue("installation")
        return lambda: (podman.PodmanDriver(url, name, engine.FACTS), engine.IMAGE)
    host = fakehost.FakeHost()
    out, err = base.Stream.OUT, base.Stream.ERR
    host.script(GREET, fakehost.Script([(0, out, b"out\n"), (0, err, b"err\n")], 3))
    host.script(HANG, fakehost.Script([(0, out, b"up\n")], hangs=True))
    return lambda: (fake.FakeDriver(host), "fake")


async def fresh(make: Make) -> tuple[base.Driver, str, base.Channel]:
    driver, image = make()
    await driver.prepare()
    container = await driver.create(base.SandboxRequest(ids.new("sbx"), image, SMALL))
    return driver, container, await driver.attach(container)


def test_a_command_runs_and_its_streams_come_apart(make: Make) -> None:
    async def scenario() -> None:
        _, _, channel = await fresh(make)

        assert await channel.run(base.Turn("job_1", ids.nonce(), GREET))
        assert await collect(channel.frames()) == (b"out\n", b"err\n")

        assert channel.end == base.TurnEnd(3, True)
        assert channel.job_pid is not None
        await channel.close()

    asyncio.run(scenario())


def test_an_unknown_program_ends_with_127(make: Make) -> None:
    async def scenario() -> None:
        _, _, channel = await fresh(make)
        await channel.run(base.Turn("job_1", ids.nonce(), UNKNOWN))
        await collect(channel.frames())

        assert channel.end == base.TurnEnd(127, True)
        await channel.close()

    asyncio.run(scenario())


def test_create_again_gives_the_same_container(make: Make) -> None:
    async def scenario() -> None:
        driver, image = make()
        request = base.SandboxRequest(ids.new("sbx"), image, SMALL)

        assert await driver.create(request) == await make()[0].create(request)
        assert len(await driver.owned()) == 3
        await driver.remove(request.sandbox_id)
        await driver.remove(request.sandbox_id)
        assert await driver.owned() == []

    asyncio.run(scenario())


def test_a_sandbox_can_begin_with_a_copy_of_a_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d/run").write_bytes(b"x" * 3_000_000)
    (tmp_path / "d/run").chmod(0o751)
    (tmp_path / "link").symlink_to("d/run")
    os.utime(tmp_path / "d/run", (5, 5))

    async def scenario() -> None:
        driver, image = make()
        await driver.prepare()
        request = base.SandboxRequest(ids.new("sbx"), image, SMALL)
        half = await driver.attach(await driver.create(request))  # an attempt that died so far
        await half.close()

        container = await driver.seed(request, tmp_path)

        status = await driver.inspect(container)
        assert status is not None and not status.running
        assert len(await driver.owned()) == 3
        root = await driver.workspace_root(request.sandbox_id)
        copied, whose = (root / "d/run").stat(), root.stat()
        assert (copied.st_mode & 0o777, copied.st_mtime, copied.st_size) == (0o751, 5, 3_000_000)
        assert (root / "d").stat().st_mode & 0o777 == 0o750
        assert (root / "link").readlink() == Path("d/run")
        for path in (root / "d", root / "d/run", root / "link"):
            assert path.lstat().st_uid == whose.st_uid, path
        assert copied.st_ino != (tmp_path / "d/run").stat().st_ino
        channel = await driver.attach(container)
        assert await channel.run(base.Turn("job_1", ids.nonce(), GREET))
        assert await collect(channel.frames()) == (b"out\n", b"err\n")
        await channel.close()
        await driver.remove(request.sandbox_id)

    asyncio.run(scenario())


def test_an_execution_starts_once_even_after_a_stop(make: Make) -> None:
    async def scenario() -> None:
        driver, container, channel = await fresh(make)
        turn = base.Turn("job_1", ids.nonce(), GREET)
        assert not await driver.started(container, "job_1", "0" * 32)
        assert await channel.run(turn)
        await collect(channel.frames())
        await channel.close()
        await driver.stop(container)
        await driver.stop(container)
        status = await driver.inspect(container)
        assert status is not None and not status.running

        again = await driver.attach(container)
        assert await driver.started(container, "job_1", "0" * 32)
        assert not await again.run(turn)
        assert await again.run(base.Turn("job_2", ids.nonce(), GREET))
        assert await collect(again.frames()) == (b"out\n", b"err\n")
        await again.close()

    asyncio.run(scenario())


def test_a_turns_start_is_in_the_log_until_the_next_turn(make: Make) -> None:
    async def scenario() -> None:
        driver, container, channel = await fresh(make)
        status = await driver.inspect(container)
        assert status is not None
        name, first, second = f"knify-{status.sandbox_id}", ids.nonce(), ids.nonce()
        for nonce in (first, second):
            assert not await driver.logged(container, nonce)
            await channel.run(base.Turn(f"job_{nonce}", nonce, GREET))
            await collect(channel.frames())
            await channel.close()
            await driver.stop(container)
            assert await driver.logged(name, nonce)
            if nonce == first:
                channel = await driver.attach(container)

        assert not await driver.logged(container, first)
        assert await driver.started(name, f"job_{first}", first)
        assert await driver.inspect(name) == await driver.inspect(container)

    asyncio.run(scenario())


def test_another_process_takes_over_and_signals(make: Make) -> None:
    async def scenario() -> None:
        _, container, channel = await fresh(make)
        nonce = ids.nonce()
        await channel.run(base.Turn("job_1", nonce, HANG))
        await anext(aiter(channel.frames()))
        await channel.close()

        other, _ = make()
        taken = await other.reattach(container, nonce, skip_out=1)
        seen = b""
        async for _, data in taken.frames():
            seen += data
            await taken.signal("KILL")

        assert seen == b"p\n"
        assert taken.end == base.TurnEnd(137, True)
        await taken.close()

    asyncio.run(scenario())


def test_a_stopped_sandbox_ends_its_turn_without_a_marker(make: Make) -> None:
    async def scenario() -> None:
        driver, container, channel = await fresh(make)
        await channel.run(base.Turn("job_1", ids.nonce(), HANG))
        await anext(frames := aiter(channel.frames()))
        await driver.stop(container)
        async for _ in frames:
            pass

        assert channel.end == base.TurnEnd(137, False)
        with pytest.raises(errors.SandboxError):
            await channel.mark()
        await channel.close()

    asyncio.run(scenario())


def test_a_running_sandbox_cannot_be_attached_twice(make: Make) -> None:
    async def scenario() -> None:
        driver, container, channel = await fresh(make)
        with pytest.raises(errors.SandboxError):
            await driver.attach(container)
        await channel.close()

    asyncio.run(scenario())


def test_what_is_not_there_is_said_clearly(make: Make) -> None:
    async def scenario() -> None:
        driver, _ = make()
        with pytest.raises(errors.ImageMissing):
            await driver.create(
                base.SandboxRequest(ids.new("sbx"), "localhost/knify/none:1", SMALL)
            )
        with pytest.raises(errors.SandboxGone):
            await driver.attach("0" * 64)
        assert await driver.inspect("0" * 64) is None
        assert await driver.image("localhost/knify/none:1") is None
        await driver.stop("0" * 64)
        await driver.ping()

    asyncio.run(scenario())


def test_hostile_names_are_refused(make: Make) -> None:
    async def scenario() -> None:
        driver, container, channel = await fresh(make)
        with pytest.raises(errors.SandboxError):
            await driver.started(container, "../../etc/passwd", "0" * 32)
        with pytest.raises(errors.SandboxError):
            await channel.run(base.Turn("a\nrun b", ids.nonce(), GREET))
        with pytest.raises(errors.BadRequest):
            await channel.run(base.Turn("job_1", ids.nonce(), GREET, {"A;touch /x": "1"}))
        with pytest.raises(errors.SandboxError):
            await channel.signal("USR1 1; touch /x")
        with pytest.raises(errors.SandboxError):
            await driver.create(base.SandboxRequest("../x", "localhost/x", SMALL))
        await channel.close()

    asyncio.run(scenario())


def test_the_image_tells_its_command(make: Make) -> None:
    async def scenario() -> None:
        driver, name = make()
        image = await driver.image(name)

        assert image is not None and image.command
        assert name in {one.name for one in await driver.images()}

    asyncio.run(scenario())
