"""The scanner, without any sandbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knify import errors
from knify.sandbox import markers

TOKEN = "0123456789abcdef" * 2
LINE = markers.needle(TOKEN) + b"exit 3\n"
HARD = st.lists(
    st.sampled_from([b"\x1e", b"\x1eknify:", markers.needle(TOKEN)[:-1], b"\n", b"x", b"\0\xff"])
)


def split(data: bytes, sizes: list[int]) -> tuple[bytes, list[tuple[str, ...]]]:
    scanner, text, found = markers.Scanner(TOKEN), b"", []
    while data:
        size = sizes.pop() if sizes else len(data)
        for piece in scanner.feed(data[:size]):
            if isinstance(piece, bytes):
                text += piece
            else:
                found.append(piece.words)
        data = data[size:]
    return text + scanner.flush(), found


@given(HARD, HARD, st.lists(st.integers(1, 20), max_size=40))
def test_markers_are_taken_out_exactly_however_the_stream_is_cut(
    before: list[bytes], after: list[bytes], sizes: list[int]
) -> None:
    head, tail = b"".join(before), b"".join(after)

    text, found = split(head + LINE + tail, sizes)

    assert text == head + tail
    assert found == [("exit", "3")]


def test_a_line_without_the_token_is_the_jobs_own() -> None:
    forged = b"\x1eknify:" + b"f" * 32 + b" exit 0\n"

    assert split(forged, [1] * 60) == (forged, [])


def test_an_endless_marker_does_not_fill_memory() -> None:
    scanner = markers.Scanner(TOKEN)
    scanner.feed(markers.needle(TOKEN))
    passed = sum(len(piece) for _ in range(100) for piece in scanner.feed(b"x" * 1000))  # type: ignore[arg-type]

    assert passed > 99_000


def test_a_token_that_is_none_is_refused() -> None:
    with pytest.raises(errors.SandboxError):
        markers.Scanner("short")
