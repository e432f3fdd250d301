"""What goes on side by side in one connection, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from knify.gateway import addresses, sides


def test_the_first_that_ends_ends_all_and_its_failure_is_raised() -> None:
    ended: list[str] = []

    async def waits(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("of the first that ended")

    async def run() -> None:
        with pytest.raises(ValueError, match="of the first"):
            await sides.first(waits("a"), fails(), waits("b"))

    asyncio.run(run())

    assert ended == ["a", "b"]


def test_of_several_that_end_at_once_the_first_named_counts() -> None:
    async def fine() -> None:
        return

    async def fails() -> None:
        raise ValueError("too late")

    asyncio.run(sides.first(fine(), fails()))


@pytest.mark.parametrize("how", ["ends", "fails", "is cancelled"])
def test_what_runs_beside_a_block_ends_with_it(how: str) -> None:
    ended = asyncio.Event()

    async def runs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def block() -> None:
        async with sides.beside(runs()):
            await asyncio.sleep(0)
            if how == "fails":
                raise ValueError
            if how == "is cancelled":
                await asyncio.Event().wait()

    async def run(work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert ended.is_set()

    asyncio.run(run(block))


def test_a_login_is_read_out_of_a_url_and_shows_nowhere() -> None:
    found = addresses.parse("wss://me:p%40ss@[::1]:9000/a/b?token=t", "ws", "wss")

    assert (found.host, found.port, found.path, found.query) == ("::1", 9000, "/a/b", "token=t")
    assert (found.user, found.password, found.basic) == ("me", "p@ss", "bWU6cEBzcw==")
    assert not any(secret in repr(found) for secret in ("p@ss", "token"))


@pytest.mark.parametrize(
    "text", [None, "", "http://h", "ws://", "ws://h:0", "ws://h:x", "ws://[::1", "ws://a..b/s3cret"]
)
def test_what_is_no_such_url_is_refused_without_showing_it(text: object) -> None:
    with pytest.raises(ValueError, match=r"^no URL") as refused:
        addresses.parse(text, "ws")

    assert "s3cret" not in str(refused.value)
