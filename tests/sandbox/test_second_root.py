"""Real containers that were killed, rebooted, carried to another node, or died half-way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import errors, ids
from knify.model import Resources
from knify.sandbox import api, base, podman, template
from tests.parts import podman as second_podman
from tests.sandbox import engine
from tests.sandbox.conftest import collect

pytestmark = pytest.mark.podman
SMALL = Resources(cpus=1, memory=256 * 1024**2, pids=128)
FILL = """
mkdir -p deep/er empty; echo x >deep/er/f; ln -s ../../../etc/passwd deep/l; ln deep/er/f hard
i=0; while [ $i -lt 50 ]; do echo $i >deep/$i; i=$((i+1)); done; echo session >~/.session
dd if=/dev/zero of=big bs=1000000 count=3 2>/dev/null; echo filled
"""


def sh(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


@pytest.fixture(scope="module")
def node() -> Iterator[second_podman.Root]:
    """A second Podman on this machine."""
    reason = engine.missing()
    if reason is not None:
        pytest.skip(reason)
    with second_podman.root() as root:
        yield root


async def run(channel: base.Channel, text: str) -> bytes:
    assert await channel.run(base.Turn(ids.new("job"), ids.nonce(), sh(text)))
    out, err = await collect(channel.frames())
    assert channel.end is not None and channel.end.marker, err
    return out


async def filled(
    url: str, installation: str
) -> tuple[podman.PodmanDriver, base.SandboxRequest, str]:
    """A stopped sandbox with all kinds of files."""
    driver = podman.PodmanDriver(url, installation, engine.FACTS)
    request = base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL)
    container = await driver.create(request)
    channel = await driver.attach(container)
    assert await run(channel, FILL) == b"filled\n"
    await channel.close()
    await driver.stop(container)
    return driver, request, container


async def is_whole(driver: base.Driver, container: str) -> None:
    """The agent finds its files, owns them and can go on."""
    channel = await driver.attach(container)
    text = "cat ~/.session deep/49; echo more >>deep/er/f; cat hard; rm -r deep; ls -ldn ."
    out = await run(channel, text)
    await channel.close()
    await driver.stop(container)
    assert out.startswith(b"session\n49\nx\nmore\n") and b" 1000 " in out


def conmon(container: str) -> int:
    raw = subprocess.run(
        ["podman", "inspect", "--format", "{{.ConmonPidFile}}", container], capture_output=True
    ).stdout
    return int(Path(raw.decode().strip()).read_text())


def test_a_sandbox_moves_to_another_node(
    podman_url: str, installation: str, node: second_podman.Root
) -> None:
    async def scenario() -> None:
        driver, request, _ = await filled(podman_url, installation)
        known = await driver.digest(request.sandbox_id)
        other = podman.PodmanDriver(node.url, installation, engine.FACTS)

        container = await other.unpack(request, driver.pack(request.sandbox_id))

        assert await other.digest(request.sandbox_id) == known
        await is_whole(other, container)
        back = await driver.unpack(request, other.pack(request.sandbox_id))
        assert await driver.digest(request.sandbox_id) == await other.digest(request.sandbox_id)
        assert await driver.inspect(back) is not None
        await other.remove(request.sandbox_id)
        assert await other.owned() == []

    asyncio.run(scenario())


def test_a_reboot_loses_no_file(installation: str, node: second_podman.Root) -> None:
    async def scenario() -> None:
        driver, request, container = await filled(node.url, installation)
        known = await driver.digest(request.sandbox_id)
        channel = await driver.attach(container)
        await driver.freeze(container)
        await channel.close()

        await asyncio.to_thread(node.reboot)
        assert await driver.digest(request.sandbox_id) == known
        await (await driver.thaw(container)).close()
        await asyncio.to_thread(node.reboot)
        rebuilt = await driver.rebuild(request)

        assert await driver.digest(request.sandbox_id) == known
        await is_whole(driver, rebuilt)
        await driver.remove(request.sandbox_id)

    asyncio.run(scenario())


@pytest.mark.parametrize("alive", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_sandbox_without_its_conmon_is_rebuilt(
    podman_url: str, installation: str, alive: bool
) -> None:
    async def scenario() -> None:
        driver, request, container = await filled(podman_url, installation)
        known = await driver.digest(request.sandbox_id)
        channel = await driver.attach(container)
        os.kill(conmon(container), signal.SIGKILL)
        with pytest.raises(errors.SandboxError):
            await collect(channel.frames())
        await channel.close()
        if not alive:
            assert await driver.stop(container)
        status = await driver.inspect(container)
        assert status is not None and status.running is alive and status.stuck
        for verb in (driver.attach, driver.thaw):
            with pytest.raises(errors.SandboxGone):
                await verb(container)

        rebuilt = await driver.rebuild(request)

        assert await driver.digest(request.sandbox_id) == known
        await is_whole(driver, rebuilt)

    asyncio.run(asyncio.wait_for(scenario(), 30))


@pytest.mark.slow
def test_a_frozen_sandbox_without_its_conmon_is_removed(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        driver, request, container = await filled(podman_url, installation)
        await (await driver.attach(container)).close()
        await driver.freeze(container)
        os.kill(conmon(container), signal.SIGKILL)
        await driver.remove(request.sandbox_id)
        assert await driver.owned() == []

    asyncio.run(asyncio.wait_for(scenario(), 30))


@pytest.mark.slow
def test_output_is_whole_and_the_log_short_after_many_thaws(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        driver, _, container = await filled(podman_url, installation)
        channel, nonce = await driver.attach(container), ""
        for number in range(8):
            nonce = ids.nonce()
            await channel.run(base.Turn(f"job_{number}", nonce, sh(f"seq 20000; echo {number}")))
            out, _ = await collect(channel.frames())
            assert out.split() == [b"%d" % n for n in range(1, 20001)] + [b"%d" % number]
            await driver.freeze(container)
            await channel.close()
            channel = await driver.thaw(container)
        assert channel._backing.log.stat().st_size < 1000  # type: ignore[attr-defined]
        await channel.run(base.Turn("job_last", nonce := ids.nonce(), sh("seq 5; exit 4")))
        await anext(aiter(channel.frames()))
        await channel.close()
        taken = await driver.reattach(container, nonce, skip_out=2)
        assert await collect(taken.frames()) == (b"2\n3\n4\n5\n", b"")
        assert taken.end == base.TurnEnd(4, True)
        await taken.close()

    asyncio.run(scenario())


def test_a_supervisor_that_its_job_stops_goes_on(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        driver, _, container = await filled(podman_url, installation)
        channel = await driver.attach(container)
        text = "for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = $$ ] || kill -STOP $p; done; exit 3"
        await channel.run(base.Turn("job_1", ids.nonce(), sh(text)))
        await collect(channel.frames())
        assert channel.end == base.TurnEnd(3, True)
        await channel.mark()
        await channel.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_node_without_ids_says_so_and_keeps_nothing(
    podman_url: str, installation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        driver, request, _ = await filled(podman_url, installation)
        known = await driver.digest(request.sandbox_id)
        monkeypatch.setattr(template, "USERNS_SIZE", 2**31)
        with pytest.raises(errors.NodeFull):
            await driver.create(base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL))
        with pytest.raises(errors.NodeFull):
            await driver.rebuild(request)
        monkeypatch.undo()
        assert {row.sandbox_id for row in await driver.owned()} == {request.sandbox_id}
        await driver.rebuild(request)
        assert await driver.digest(request.sandbox_id) == known

    asyncio.run(scenario())


class Died(BaseException):
    """The process ended here."""


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["rebuild", "unpack"])
@pytest.mark.parametrize("after", [False, True])
def test_dying_at_any_call_leaves_nothing_that_looks_whole(
    podman_url: str, installation: str, monkeypatch: pytest.MonkeyPatch, verb: str, after: bool
) -> None:
    call, left = api.Api.call, [10**6]

    async def dying(self: api.Api, *words: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0 and not after:
            raise Died
        answer = await call(self, *words, **more)
        if left[0] < 0:
            raise Died
        return answer

    async def scenario() -> None:
        driver, request, container = await filled(podman_url, installation)
        pieces = [chunk async for chunk in driver.pack(request.sandbox_id)]
        known, deaths = await driver.digest(request.sandbox_id), 0

        async def chunks() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        async def once() -> str:
            if verb == "unpack":
                return await driver.unpack(request, chunks())
            return await driver.rebuild(request)

        while True:
            left[0] = deaths
            try:
                container = await once()
                break
            except Died:
                deaths += 1
            finally:
                left[0] = 10**6
            try:
                assert await driver.digest(request.sandbox_id) == known
            except errors.SandboxGone:
                with pytest.raises(errors.SandboxGone):
                    await driver.rebuild(request)
        assert deaths >= 5
        assert await driver.digest(request.sandbox_id) == known
        await is_whole(driver, container)

    monkeypatch.setattr(api.Api, "call", dying)
    asyncio.run(scenario())


@pytest.mark.slow
def test_a_cancelled_unpacking_is_not_the_sandbox(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        driver, request, _ = await filled(podman_url, installation)
        pieces = [chunk async for chunk in driver.pack(request.sandbox_id)]
        known, hangs = await driver.digest(request.sandbox_id), asyncio.Event()

        async def chunks(whole: bool) -> AsyncIterator[bytes]:
            yield pieces[0][:20_000]
            hangs.set()
            await (asyncio.sleep(0) if whole else asyncio.Event().wait())
            yield pieces[0][20_000:]
            for piece in pieces[1:]:
                yield piece

        task = asyncio.create_task(driver.unpack(request, chunks(False)))
        await hangs.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for verb in (driver.rebuild(request), driver.digest(request.sandbox_id)):
            with pytest.raises(errors.SandboxGone):
                await verb
        with pytest.raises(errors.SandboxError):
            await driver.create(request)
        container = await driver.unpack(request, chunks(True))

        assert await driver.digest(request.sandbox_id) == known
        await is_whole(driver, container)

    asyncio.run(asyncio.wait_for(scenario(), 60))
