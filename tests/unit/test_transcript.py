from __future__ import annotations

import itertools

import hypothesis
import hypothesis.strategies as st

from knify import masking
from knify.agents import base
from knify.transcript import Lines

parts = st.lists(st.sampled_from([b"a", b"\n", b"secret-1", b"x" * 70_000, "ü".encode()]))


def _fed(lines: Lines, *data: bytes) -> list[tuple[str, str | None]]:
    return [piece for part in data for piece in lines.feed(part)]


@hypothesis.given(parts, st.lists(st.integers(1, 100_000), max_size=5))
def test_however_a_stream_is_cut_the_same_lines_come_out(
    content: list[bytes], at: list[int]
) -> None:
    data = b"".join(content)
    cuts = sorted({0, *(n for n in at if n < len(data)), len(data)})
    lines, whole = Lines(longest=10**6), Lines(longest=10**6)

    cut = _fed(lines, *(data[a:b] for a, b in itertools.pairwise(cuts)))

    assert cut + list(lines.flush()) == _fed(whole, data) + list(whole.flush())
    assert lines.consumed == len(data)


def test_a_long_line_is_shown_in_pieces_and_read_whole() -> None:
    lines = Lines(longest=10**6)

    found = _fed(lines, b"y" * 150_000, b"z\nnext\n")

    assert [(len(piece), whole and len(whole)) for piece, whole in found] == [
        *((base.LINE, None), (base.LINE, None), (150_001 - 2 * base.LINE, 150_001), (4, 4)),
    ]
    assert lines.consumed == 150_007


def test_what_is_stored_ends_with_a_line_so_a_taker_reads_whole_ones() -> None:
    lines = Lines(longest=10**6)

    after = [(lines.consumed, whole) for _, whole in lines.feed(b"y" * 100_000 + b"\n")]

    assert after == [(0, None), (100_001, "y" * 100_000)]


def test_a_line_beyond_the_longest_comes_in_parts() -> None:
    lines = Lines(longest=100_000)

    found = _fed(lines, b"y" * 250_000)

    assert [whole and len(whole) for _, whole in found] == [None, 100_000, None, 100_000]
    assert [whole and len(whole) for _, whole in lines.flush()] == [50_000]
    assert lines.consumed == 250_000


def test_a_secret_is_replaced_wherever_it_stands_in_a_line() -> None:
    lines = Lines(longest=10**6, masks=masking.Masks(["key-12345678"]))

    data = b"a key-12345678 b\n" + b"x" * (base.LINE - 4) + b"key-12345678\n"
    found = _fed(lines, data[:7], data[7:])

    assert all("key-12345678" not in piece + (whole or "") for piece, whole in found)
    assert found[0] == ("a *** b", "a *** b")
    assert lines.consumed == len(data)
