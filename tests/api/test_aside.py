"""What is made for one client is made beside the loop, and stops when that client goes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api import aside


def test_pieces_are_the_same_bytes() -> None:
    parts = [b"a" * n for n in range(2000)]

    assert b"".join(aside.pieces(iter(parts), aside.reader("t"))) == b"".join(parts)


def test_nothing_is_made_before_it_is_taken_and_a_client_that_goes_ends_it() -> None:
    made: list[int] = []
    ended: list[bool] = []

    def source() -> Iterator[bytes]:
        try:
            for n in range(1000):
                made.append(n)
                yield b"x" * aside._TURN_BYTES
        finally:
            ended.append(True)

    taken = aside.pieces(source(), aside.reader("t"))
    assert made == []
    next(taken)
    assert len(made) == 1

    taken.close()  # type: ignore[attr-defined]

    assert ended == [True]
    assert len(made) == 1


def test_a_failure_comes_out_where_the_bytes_are_taken() -> None:
    def source() -> Iterator[bytes]:
        yield b"x" * aside._TURN_BYTES
        raise OSError("gone")

    taken = aside.pieces(source(), aside.reader("t"))
    next(taken)

    with pytest.raises(OSError, match="gone"):
        next(taken)


def test_a_tenants_uploads_leave_places_to_others() -> None:
    """The work of each begins that of the next: a third of one tenant's would wait for ever."""
    inside: list[str] = []

    def third() -> None:
        assert not aside._share("heavy", "a", aside._HEAVY_EACH).acquire(blocking=False)
        aside.heavy("b")(lambda: inside.append("b"))

    aside.heavy("a")(lambda: aside.heavy("a")(third))

    assert inside == ["b"]
    assert aside._HEAVY_EACH < aside._HEAVY
