"""Memory for requests: who has much leaves room for those who come later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from knify.gateway import room as rooms
from knify.gateway.calls import REQUEST_BYTES

PIECE = 1024**2


def fill(room: rooms.Room, tenant: str, sandbox: str) -> int:
    """All that this one gets, in pieces, whole requests side by side: how much it is."""
    taken = 0
    part = rooms.Part(tenant, sandbox)
    while room.take(part, PIECE):
        taken += PIECE
        if part.size == REQUEST_BYTES:
            part = rooms.Part(tenant, sandbox)
    return taken


def test_four_sandboxes_of_a_tenant_leave_a_large_request_to_another_tenant() -> None:
    room = rooms.Room()

    taken = [fill(room, "evil", f"s{n}") for n in range(4)]

    assert max(taken) <= rooms.SHARE and sum(taken) <= rooms.ALL // 2
    assert room.take(rooms.Part("other", "o"), REQUEST_BYTES)


def test_they_leave_some_to_the_tenants_own_others() -> None:
    room = rooms.Room()
    for n in range(4):
        fill(room, "evil", f"s{n}")

    assert room.take(rooms.Part("evil", "late"), 2 * PIECE)


def test_what_was_given_back_is_there_again() -> None:
    room = rooms.Room()
    part = rooms.Part("a", "s")
    assert room.take(part, rooms.SHARE) and not room.take(rooms.Part("a", "s"), PIECE)

    room.give_back(part)
    room.give_back(part)

    assert room.take(rooms.Part("a", "s"), rooms.SHARE)
    assert not room.take(rooms.Part("a", "s"), PIECE)


def scenario(body: Callable[[rooms.Room, rooms.Part, asyncio.Timeout], Awaitable[None]]) -> None:
    """A room in which one sandbox has all it can get, and its request still comes."""

    async def run() -> None:
        room = rooms.Room()
        for n in range(4):
            fill(room, "evil", f"s{n}")
        async with asyncio.timeout(60) as timer:
            slow = next(part for part in room._parts if part.sandbox == "s0")
            slow.coming = timer
            await body(room, slow, timer)

    asyncio.run(run())


def test_what_comes_slowly_gives_its_room_to_one_that_has_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rooms, "SLOW_SECONDS", -1.0)

    async def body(room: rooms.Room, slow: rooms.Part, timer: asyncio.Timeout) -> None:
        newcomer = rooms.Part("evil", "late")

        assert room.take(newcomer, 16 * PIECE)

        assert slow.is_lost and slow.size == 0 and not room.take(slow, 1)
        await asyncio.sleep(5)

    with pytest.raises(TimeoutError):  # its reader's
        scenario(body)


def test_what_came_just_now_or_is_whole_keeps_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(room: rooms.Room, slow: rooms.Part, timer: asyncio.Timeout) -> None:
        assert not room.take(rooms.Part("evil", "late"), 16 * PIECE)

        monkeypatch.setattr(rooms, "SLOW_SECONDS", -1.0)
        slow.coming = None

        assert not room.take(rooms.Part("evil", "late"), 16 * PIECE)
        assert not slow.is_lost

    scenario(body)
