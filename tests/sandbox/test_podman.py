"""The driver against real containers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from knify import errors, ids
from knify.model import Resources
from knify.sandbox import base, podman, tree
from tests.sandbox import engine
from tests.sandbox.conftest import collect

pytestmark = pytest.mark.podman
SMALL = Resources(cpus=1, memory=256 * 1024**2, pids=128)


def sh(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


@asynccontextmanager
async def sandbox(
    url: str, installation: str, image: str = engine.IMAGE
) -> AsyncIterator[tuple[podman.PodmanDriver, str, base.Channel]]:
    driver = podman.PodmanDriver(url, installation, engine.FACTS)
    container = await driver.create(base.SandboxRequest(ids.new("sbx"), image, SMALL))
    channel = await driver.attach(container)
    try:
        yield driver, container, channel
    finally:
        await channel.close()


async def outcome(
    channel: base.Channel, argv: tuple[str, ...] | None, **fields: object
) -> tuple[bytes, bytes, base.TurnEnd | None]:
    turn = base.Turn(ids.new("job"), ids.nonce(), argv, **fields)  # type: ignore[arg-type]
    assert await channel.run(turn)
    out, err = await collect(channel.frames())
    return out, err, channel.end


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.02)


def test_output_comes_back_byte_exact_on_both_streams(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, _, channel):
            text = r"printf 'a\000b\r\nno end'; printf '\036knify:\377 x\n\n\nz\036' >&2; exit 7"

            out, err, end = await outcome(channel, sh(text))

            assert out == b"a\0b\r\nno end"
            assert err == b"\x1eknify:\xff x\n\n\nz\x1e"
            assert end == base.TurnEnd(7, True)

    asyncio.run(scenario())


def test_argv_and_environment_arrive_unchanged(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, container, channel):
            odd = 'it\'s "a"\n$HOME `x` \\ ü \udcff'
            argv = ("sh", "-c", 'printf "%s|%s|%s|%s" "$1" "$ODD" "$FROM_IMAGE" "$PWD"', "-", odd)

            out, _, _ = await outcome(channel, argv, env={"ODD": odd + "secret"})

            raw = odd.encode("utf-8", "surrogateescape")
            assert out == raw + b"|" + raw + b"secret|yes|/workspace"
            shown = subprocess.run(["podman", "inspect", container], capture_output=True)
            assert b"secret" not in shown.stdout

    asyncio.run(scenario())


def test_a_turn_reads_the_file_that_is_its_input_and_nobody_else_can(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, _, channel):
            content = bytes(range(256)) * 2_000  # far more than an argument may be
            await channel.put_file("/run/knify/turn/in", content)
            argv = sh("ls /run/knify/turn | wc -l; cat")

            out, _, _ = await outcome(channel, argv, stdin="/run/knify/turn/in")

            assert out == b"0\n" + content

    asyncio.run(scenario())


def test_without_a_command_the_images_own_runs(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, _, channel):
            out, _, end = await outcome(channel, None)

            assert (out, end) == (b"default\n", base.TurnEnd(0, True))

    asyncio.run(scenario())


def test_an_image_without_a_shell_works_again_after_a_stop(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation, engine.BARE) as (driver, container, channel):
            text = "id -u; echo a >>/tmp/f && echo b >>f; cat f; ls -d ~; touch /no 2>/dev/null"
            out, _, end = await outcome(channel, sh(text))
            assert (out, end) == (b"1000\nb\n/home/agent\n", base.TurnEnd(1, True))

            await channel.close()
            await driver.stop(container)
            again = await driver.attach(container)
            out, _, end = await outcome(again, sh(text))
            await again.close()

            assert (out, end) == (b"1000\nb\nb\n/home/agent\n", base.TurnEnd(1, True))

    asyncio.run(scenario())


def test_an_execution_starts_once(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            turn = base.Turn("job_1", ids.nonce(), sh("echo x >>count; cat count"))
            assert not await driver.started(container, "job_1", "0" * 32)
            assert await channel.run(turn)
            assert await collect(channel.frames()) == (b"x\n", b"")
            assert not await channel.run(turn)
            assert await driver.started(container, "job_1", "0" * 32)

            await channel.close()
            await driver.stop(container)
            again = await driver.attach(container)
            assert not await again.run(turn)
            await again.close()
            assert await driver.started(container, "job_1", "0" * 32)

    asyncio.run(scenario())


def test_a_signal_reaches_the_job_and_leftovers_die_with_it(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, _, channel):
            text = "trap 'echo got; exit 3' INT; setsid sleep 1000 & echo up; "
            text += "while :; do sleep 0.1; done"
            assert await channel.run(base.Turn("job_1", ids.nonce(), sh(text)))
            got = b""
            async for _, data in channel.frames():
                got += data
                if got == b"up\n":
                    await channel.signal("INT")
            assert (got, channel.end) == (b"up\ngot\n", base.TurnEnd(3, True))

            out, _, _ = await outcome(channel, sh("/.knify/busybox ps -o args"))
            assert b"sleep 1000" not in out

    asyncio.run(scenario())


def test_a_job_that_ignores_everything_is_killed(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, _, channel):
            turn = base.Turn("job_1", ids.nonce(), sh("trap '' TERM INT; echo up; sleep 1000"))
            await channel.run(turn)
            async for _, _ in channel.frames():
                await channel.signal("TERM")
                await channel.signal("KILL")

            assert channel.end == base.TurnEnd(137, True)

    asyncio.run(scenario())


def test_a_large_tar_streams_in_and_belongs_to_the_agent(
    podman_url: str, installation: str
) -> None:
    big = bytes(range(256)) * 4096 * 20  # 20 MiB
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("deep/big file\nodd")
        entry.size, entry.uid = len(big), 0
        tar.addfile(entry, io.BytesIO(big))
    raw = content.getvalue()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(raw), 100_000):
            yield raw[at : at + 100_000]

    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            await channel.put_tar("/workspace", pieces(), len(raw))
            out, _, _ = await outcome(channel, sh("cat deep/*; ls -ln deep | tail -n1 >&2"))
            assert hashlib.sha256(out).digest() == hashlib.sha256(big).digest()

            with pytest.raises(errors.SandboxError):
                await channel.put_tar("/workspace", b"run x y z\n" * 1000, 10_000)
            await channel.mark()
            status = await driver.inspect(container)
            assert status is not None
            root = await driver.workspace_root(status.sandbox_id)
            assert list(tree.listing(root)) == ["deep/big file\nodd"]

    asyncio.run(scenario())


NOISY = r"""
i=0
while [ $i -lt 1500 ]; do
  printf "o$i \000\r\377 "; printf "e$i\r\n" >&2
  [ $((i % 7)) = 0 ] && printf "\n\036knify:\n"
  [ $((i % 500)) = 0 ] && head -c 70000 /dev/zero
  i=$((i + 1))
  [ $((i % 20)) = 0 ] && sleep 0.03
done
exit 5
"""


def test_no_byte_is_lost_or_doubled_through_many_takeovers(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            whole_out, whole_err, end = await outcome(channel, sh(NOISY))
            assert end == base.TurnEnd(5, True)

            nonce, out, err, takeovers = ids.nonce(), bytearray(), bytearray(), 0
            await channel.run(base.Turn("job_2", nonce, sh(NOISY)))
            while channel.end is None:
                limit = len(out) + len(err) + 5_000
                async for stream, data in channel.frames():
                    (out if stream == base.Stream.OUT else err).extend(data)
                    if len(out) + len(err) > limit:
                        break
                if channel.end is None:
                    await channel.close()
                    channel = await driver.reattach(container, nonce, len(out), len(err))
                    takeovers += 1
            await channel.close()

            assert takeovers > 5
            assert bytes(err) == whole_err
            assert bytes(out) == whole_out
            assert channel.end == base.TurnEnd(5, True)

    asyncio.run(scenario())


def test_a_turn_that_ended_unwatched_is_read_from_the_log(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            nonce = ids.nonce()
            await channel.run(base.Turn("job_1", nonce, sh("echo one; printf two; exit 4")))
            await anext(aiter(channel.frames()))
            await channel.close()

            for stopped in (False, True):
                if stopped:
                    await driver.stop(container)
                taken = await driver.reattach(container, nonce, skip_out=2)
                assert await collect(taken.frames()) == (b"e\ntwo", b"")
                assert taken.end == base.TurnEnd(4, True)
                await taken.close()

    asyncio.run(scenario())


def test_a_sandbox_killed_under_its_job_ends_without_a_marker(
    podman_url: str, installation: str
) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            nonce = ids.nonce()
            await channel.run(base.Turn("job_1", nonce, sh("echo up; kill -9 -1; sleep 100")))
            assert await collect(channel.frames()) == (b"up\n", b"")
            assert channel.end == base.TurnEnd(137, False)

            taken = await driver.reattach(container, nonce)
            assert await collect(taken.frames()) == (b"up\n", b"")
            assert taken.end == base.TurnEnd(137, False)

    asyncio.run(scenario())


def test_a_deaf_supervisor_is_an_error_within_seconds(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            nonce = ids.nonce()
            await channel.run(base.Turn("job_1", nonce, sh("echo up; sleep 1000")))
            await channel.close()
            status = await driver.inspect(container)
            assert status is not None and status.pid is not None
            subprocess.run(["podman", "pause", container], check=True, capture_output=True)
            began = time.monotonic()
            try:
                with pytest.raises(errors.SandboxError):
                    await driver.reattach(container, nonce)
            finally:
                subprocess.run(["podman", "unpause", container], capture_output=True)
            assert time.monotonic() - began < 30

    asyncio.run(scenario())


def test_memory_kills_are_seen(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            text = "/.knify/busybox awk 'BEGIN{s=\"x\"; while(1) s=s s}'"
            _, _, end = await outcome(channel, sh(text))
            status = await driver.inspect(container)

            assert status is not None and status.running
            assert end == base.TurnEnd(137, True)
            assert status.oom_kills == 1
            assert not Path("oom").exists()  # conmon leaves it where the service was started

    asyncio.run(scenario())


def test_the_hardening_is_what_was_promised(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (_, container, channel):
            text = "cat /proc/self/status /proc/net/dev; ulimit -c; ulimit -Hn; ls /dev /"
            out, _, _ = await outcome(channel, sh(text))
            shown = out.decode()

            assert "CapBnd:\t0000000000000000" in shown and "NoNewPrivs:\t1" in shown
            assert "Seccomp:\t2" in shown and "Uid:\t1000" in shown
            assert "4096\n" in shown and "eth0" not in shown and "declared" not in shown
            raw = subprocess.run(["podman", "inspect", container], capture_output=True).stdout
            seen = json.loads(raw)[0]
            host = seen["HostConfig"]
            assert host["Memory"] == host["MemorySwap"] == SMALL.memory
            assert host["PidsLimit"] == SMALL.pids and host["ReadonlyRootfs"]
            assert host["NetworkMode"] == "none" and not host["Privileged"]
            assert {mount["Type"] for mount in seen["Mounts"]} == {"volume"}

    asyncio.run(scenario())


def test_installations_do_not_see_each_other(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        other = podman.PodmanDriver(podman_url, f"{installation}x", engine.FACTS)
        async with sandbox(podman_url, installation) as (driver, container, _):
            rows = await driver.owned()
            assert sorted(row.kind for row in rows) == ["container", "volume", "volume"]
            assert await other.owned() == []
            with pytest.raises(errors.SandboxError):
                await other.create(base.SandboxRequest(rows[0].sandbox_id, engine.IMAGE))
            with pytest.raises(errors.SandboxError):
                await other.remove(rows[0].sandbox_id)
            assert await driver.inspect(container) is not None

            for _ in range(2):
                await driver.remove(rows[0].sandbox_id)
            assert await driver.owned() == []
            assert await driver.inspect(container) is None

    asyncio.run(scenario())


def test_a_killed_podman_service_costs_no_byte(podman_url: str, installation: str) -> None:
    async def scenario(url: str, restart: Callable[[], None]) -> None:
        driver = podman.PodmanDriver(url, installation, engine.FACTS)
        container = await driver.create(base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL))
        channel, nonce, out = await driver.attach(container), ids.nonce(), b""
        counting = "i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.02; done"
        await channel.run(base.Turn("job_1", nonce, sh(counting)))
        with pytest.raises(errors.SandboxError):
            async for _, data in channel.frames():
                if not out:
                    restart()
                out += data
        await channel.close()
        taken = await driver.reattach(container, nonce, len(out))
        rest, _ = await collect(taken.frames())
        await taken.close()

        assert (out + rest).split() == [b"%d" % number for number in range(40)]
        assert taken.end == base.TurnEnd(0, True)

    with engine.restartable() as (url, restart):
        asyncio.run(scenario(url, restart))


def test_a_killed_conmon_is_noticed(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        async with sandbox(podman_url, installation) as (driver, container, channel):
            await channel.run(base.Turn("job_1", ids.nonce(), sh("echo up; sleep 1000")))
            raw = subprocess.run(["podman", "inspect", container], capture_output=True).stdout
            pid = int(Path(json.loads(raw)[0]["ConmonPidFile"]).read_text())
            with pytest.raises(errors.SandboxError):
                async for _ in channel.frames():
                    os.kill(pid, signal.SIGKILL)
            status = await driver.inspect(container)
            assert status is not None and status.running
            await channel.close()
            await driver.stop(container)
            await driver.remove(status.sandbox_id)
            assert await driver.owned() == []

    asyncio.run(scenario())


def left_over(name: str, wanted: str, *argv: str) -> None:
    """Kill Podman over it at ever other moments, until its list says what is `wanted`."""
    took = 0.3
    for n in range(200):
        if argv[0] != "create":
            subprocess.run([*CREATE, name, engine.IMAGE, "true"], capture_output=True, check=True)
        begun = time.monotonic()
        process = subprocess.Popen(["podman", *argv], stdout=-3, stderr=-3)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(took * (0.2 + 0.8 * (n * 0.618 % 1)))  # all over the time that it takes
            took = time.monotonic() - begun
        process.kill()
        process.wait()
        if wanted in (listed(name), looked(name)):
            return
        subprocess.run(["podman", "rm", "--force", name], capture_output=True, check=False)
    raise AssertionError(f"Podman never left {name} so that it is {wanted}")


CREATE = ("podman", "create", "--name")


def listed(name: str) -> str:
    """What Podman's list says of it, of which all may be left that storage knows."""
    form = ("--format", "{{.Names}} {{.Status}}")
    rows = subprocess.run(
        ["podman", "ps", "--all", "--external", *form], capture_output=True, text=True, check=True
    )
    found = [row.split(" ", 1)[1] for row in rows.stdout.splitlines() if row.startswith(name)]
    return found[0] if found else ""


def looked(name: str) -> str:
    """Why it cannot be looked at, in Podman's last words."""
    words = ["podman", "inspect", "--type", "container", name]
    seen = subprocess.run(words, capture_output=True, text=True, check=False)
    return seen.stderr.strip().rpartition(": ")[2]


@pytest.mark.slow  # it has to hit a moment
def test_a_name_that_a_killed_podman_left_in_its_storage_is_taken_over(
    podman_url: str, installation: str
) -> None:
    sandbox_id = ids.new("sbx")
    name = f"knify-{sandbox_id}"
    left_over(name, "Storage", "create", "--name", name, engine.IMAGE, "true")

    async def made() -> str:
        driver = podman.PodmanDriver(podman_url, installation, engine.FACTS)
        return await driver.create(base.SandboxRequest(sandbox_id, engine.IMAGE, SMALL))

    assert asyncio.run(made())
    assert listed(name) == "Created"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "argv"),
    [
        ("Storage", ("create", "--name", "{name}", engine.IMAGE, "true")),
        ("container not known", ("rm", "--force", "{name}")),
    ],
)
def test_what_a_killed_podman_left_of_a_sandbox_can_be_removed(
    podman_url: str, installation: str, wanted: str, argv: tuple[str, ...]
) -> None:
    sandbox_id = ids.new("sbx")
    name = f"knify-{sandbox_id}"
    left_over(name, wanted, *(word.format(name=name) for word in argv))

    async def removed() -> None:
        driver = podman.PodmanDriver(podman_url, installation, engine.FACTS)
        assert await driver.inspect(name) is None
        await driver.remove(sandbox_id)

    asyncio.run(removed())
    assert listed(name) == ""
