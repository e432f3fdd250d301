"""Whatever way a secret leaves in, it is covered; whatever way the stream is cut, alike."""

from __future__ import annotations

import base64
import itertools
import json
import shlex
import textwrap
import urllib.parse
from collections.abc import Callable

import hypothesis
import hypothesis.strategies as st
import pytest

from knify import disguises, masking
from knify.agents import base
from knify.transcript import Lines

SECRET = 'p4ss/w\'rd "ü" +?&tail'
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA1c7\nshort\nq8Zs0VJm3xE0w\n-----END KEY-----\n"
MASKS = masking.Masks([SECRET, KEY, "aaaaaaaaab"])


def _od(raw: bytes) -> str:
    """As `od -x` says it on a machine of today."""
    return " ".join(raw[n : n + 2].ljust(2, b"\0")[::-1].hex() for n in range(0, len(raw), 2))


def _twice(raw: bytes) -> str:
    return base64.b64encode(base64.b64encode(raw)).decode()


ENCODERS: dict[str, Callable[[str], str]] = {
    "raw": lambda value: value,
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 behind one byte": lambda value: base64.b64encode(b"x" + value.encode()).decode(),
    "base64 behind two bytes": lambda value: base64.b64encode(b"xy" + value.encode()).decode(),
    "base64 within a text": lambda value: base64.b64encode(f"a{value}bc".encode()).decode(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "percent": lambda value: urllib.parse.quote(value, safe=""),
    "percent of a path": urllib.parse.quote,
    "percent of a form": urllib.parse.quote_plus,
    "JSON": json.dumps,
    "JSON, not only ASCII": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "shell": shlex.quote,
    "Python": repr,
    "hex with colons": lambda value: value.encode().hex(":"),
    "HEX with spaces": lambda value: value.encode().hex(" ").upper(),
    "hex with dashes": lambda value: value.encode().hex("-"),
    "hex in pairs": lambda value: value.encode().hex(" ", -2),
    "hex in pairs behind one byte": lambda value: f"x{value}".encode().hex(" ", -2),
    "hex in pairs turned around": lambda value: _od(value.encode()),
    "base32": lambda value: base64.b32encode(value.encode()).decode(),
    "base64 of base64": lambda value: _twice(value.encode()),
    "base64 of base64 behind one byte": lambda value: _twice(b"x" + value.encode()),
    "escaped bytes": lambda value: "".join(f"\\x{byte:02x}" for byte in value.encode()),
    "escaped units": lambda value: "".join(f"\\u{ord(char):04X}" for char in value),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_a_secret_is_covered_in_this_form(encode: Callable[[str], str]) -> None:
    form = encode(SECRET)

    shown = MASKS.text(f"before {form} behind")

    assert "***" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" behind")
    assert (
        len(shown.replace("***", "")) <= len("before  behind") + 8
    )  # quotes, and digits of others


@pytest.mark.parametrize("width", [1, 3, 7, 76])
@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
def test_a_secret_that_is_wrapped_is_covered_but_for_the_head_of_what_a_line_ends_with(
    encode: Callable[[str], str], width: int
) -> None:
    form = encode(SECRET)
    text = "\n".join(form[n : n + width] for n in range(0, len(form), width))

    shown = MASKS.text(f"12345{text}\nend\n")

    plain = shown.replace("\n", "").replace("***", "").removeprefix("12345").removesuffix("end")
    assert len(plain) <= masking.HEAD - 1 + 9  # and digits of the text around it


def test_each_line_of_a_secret_is_covered_by_itself_unless_it_is_short_or_anybodys() -> None:
    first, second, third = KEY.splitlines()[1:4]

    assert MASKS.text(f"{first}|{third}") == "***|***"
    assert MASKS.text(second) == second
    assert MASKS.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_base64_of_a_key_as_programs_wrap_it_is_covered() -> None:
    encoded = base64.encodebytes(f"some text before it\n{KEY}".encode()).decode()

    shown = MASKS.text(encoded)

    assert max(len(part) for part in shown.replace("\n", "***").split("***")) <= 28


def test_what_is_no_secret_stays_as_it_is() -> None:
    text = textwrap.dedent("""\
        p4ss is not all of it, and neither is aaaaaaaa
        \r\n\r\n ü \udc80 """)

    assert MASKS.text(text) == text
    assert masking.NONE.text(SECRET) == SECRET
    assert not masking.Masks(["short"])


def test_values_of_json_are_covered_at_any_depth_and_in_names() -> None:
    value = {SECRET: [1, None, {"x": f"a {SECRET}"}], "y": True}

    assert MASKS.clean(value) == {"***": [1, None, {"x": "a ***"}], "y": True}


@pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
def test_a_secret_in_wide_characters_is_covered(code: str) -> None:
    search = masking.Search(MASKS)
    data = f"<{SECRET}>".encode(code)
    search.feed(data)
    search.finish()

    assert masking.covered(data, 0, search.spans).replace(b"\0", b"") == b"<***>"


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(st.text(min_size=8, max_size=40), st.binary(max_size=5), st.binary(max_size=5))
def test_any_value_is_found_in_base32_and_dumps_at_any_place(
    value: str, before: bytes, behind: bytes
) -> None:
    hypothesis.assume("\n" not in value)
    hypothesis.assume("\r" not in value)
    masks, data = masking.Masks([value]), before + value.encode() + behind
    shown = [base64.b32encode(data).decode(), data.hex(" ", -2), _od(data), _twice(data)]

    assert all("***" in masks.text(text) for text in shown)


def test_forms_are_so_many_however_much_a_sandbox_was_given() -> None:
    token, many = "ghp_0123456789abcdef", [f"{n:0500}" for n in range(200)]
    masks = masking.Masks([token, *many])

    assert len(disguises.of(token)) <= 60
    assert len(disguises.of("x" * 1025)) <= 20
    assert masks.text(token.encode().hex(":")) == token.encode().hex(":")
    assert masks.text(f"{token} {many[-1].encode().hex(':')}") == "*** ***"


def test_touching_secrets_become_one_mask() -> None:
    assert MASKS.text(f"<{SECRET}{SECRET}>") == "<***>"
    assert MASKS.text(f"<{'a' * 9}baaaaaaaaab>") == "<***>"


def test_a_line_waits_only_while_it_may_end_within_a_secret() -> None:
    lines = Lines(masks=MASKS)
    seen = [whole for _, whole in lines.feed(b"all clear\np4s\n")]

    held = [whole for _, whole in lines.feed(b"x p4ss/w'\n")]
    shown = [whole for _, whole in lines.feed(b"nothing\n")]

    assert seen == ["all clear", "p4s"]
    assert held == []
    assert shown == ["x p4ss/w'", "nothing"]


def test_a_beginning_that_nothing_follows_is_shown_at_the_end() -> None:
    lines = Lines(masks=MASKS)
    lines_before = list(lines.feed(b"one p4ss/w'\n"))

    rest = [whole for _, whole in lines.flush()]

    assert (lines_before, rest) == ([], ["one p4ss/w'"])
    assert lines.consumed == 12


def test_breaks_without_end_hold_nothing_up_for_ever() -> None:
    search = masking.Search(MASKS)
    search.feed(b"p4ss/")
    search.feed(b"\n" * (MASKS.reach + 1))

    assert search.held == 5 + MASKS.reach + 1
    assert len(search._window) <= MASKS.reach


WORDS = st.sampled_from(
    [b"\n", b"\r\n", b"a", b"x", b"aaaa", b"aaaaaaaaab", SECRET.encode(), KEY.encode(),
     *(encode(SECRET).encode() for encode in ENCODERS.values()), b"y" * 300]
)  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Words, whole or broken, and the same in pieces."""
    words = []
    for word in draw(st.lists(WORDS, max_size=12)):
        cut = draw(st.integers(0, len(word)))
        words.append(word[:cut] + draw(st.sampled_from([b"", b"", b"\n"])) + word[cut:])
    data = b"".join(words)
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=8))})
    return data, [data[a:b] for a, b in itertools.pairwise(cuts)]


def _lines(lines: Lines, pieces: list[bytes]) -> list[tuple[int, str | None]]:
    """What was read, each with how far the stream was read then."""
    found = [(lines.consumed, whole) for piece in pieces for _, whole in lines.feed(piece)]
    return found + [(lines.consumed, whole) for _, whole in lines.flush()]


@hypothesis.given(streams(), st.sampled_from([40, 120, base.LINE]))
def test_however_a_stream_comes_it_is_covered_alike(
    stream: tuple[bytes, list[bytes]], longest: int
) -> None:
    data, pieces = stream

    found = _lines(Lines(longest=longest, masks=MASKS), pieces)

    assert found == _lines(Lines(longest=longest, masks=MASKS), [data])
    whole = "".join(line or "" for _, line in found)
    assert SECRET not in whole
    assert "MIIEpAIBAAKCAQEA1c7" not in whole


@hypothesis.given(streams(), st.sampled_from([40, base.LINE]), st.data())
def test_whoever_goes_on_behind_any_stored_line_covers_alike(
    stream: tuple[bytes, list[bytes]], longest: int, draw: st.DataObject
) -> None:
    data, pieces = stream
    found = _lines(Lines(longest=longest, masks=MASKS), [data])
    at = draw.draw(st.sampled_from([0, *(consumed for consumed, _ in found)]))
    begin = at - MASKS.context(at)

    taker = Lines(at, longest, MASKS)
    rest, passed = [], 0
    for piece in pieces:
        rest.append(piece[max(0, begin - passed) :])
        passed += len(piece)

    assert _lines(taker, rest) == [one for one in found if one[0] > at]


@hypothesis.given(st.text(min_size=8, max_size=40), st.binary(max_size=5), st.binary(max_size=5))
def test_any_value_is_found_in_base64_at_any_place(
    value: str, before: bytes, behind: bytes
) -> None:
    masks = masking.Masks([value])
    hypothesis.assume(disguises.of(value))
    hypothesis.assume("\n" not in value)
    hypothesis.assume("\r" not in value)

    shown = masks.text(base64.b64encode(before + value.encode() + behind).decode())

    assert "***" in shown
