"""Usage read out of answers as they pass, however they are cut; prices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knify import errors
from knify.gateway import prices
from knify.gateway.tokens import Meter, Tokens
from tests.parts import model_openai, model_script, model_wire

COST = model_wire.Tokens(into=100, out=20, cached=40)
WIRES = {
    "anthropic": model_wire.Anthropic(),
    "google": model_wire.Google(),
    "openai": model_openai.Responses(),
}


def stream(provider: str) -> bytes:
    asked, answer = model_script.Asked("m", True, (), ()), model_script.Answer(text="word " * 30)
    return "".join(WIRES[provider].events(asked, answer, COST)).encode()


@pytest.mark.parametrize("provider", WIRES)
@settings(deadline=None)  # of a busy machine
@given(cuts=st.lists(st.integers(1, 200), max_size=30))
def test_a_stream_is_read_alike_however_it_is_cut(provider: str, cuts: list[int]) -> None:
    meter, data = Meter(provider, asked=10), stream(provider)
    meter.is_stream = True

    for size in [*cuts, len(data)]:
        meter.feed(data[:size])
        data = data[size:]

    assert meter.seen.is_final
    assert meter.count(is_whole=True) == Tokens(100, 40, 0, 20)


@pytest.mark.parametrize("provider", WIRES)
@given(data=st.binary(max_size=300))
def test_garbage_is_estimated_and_breaks_nothing(provider: str, data: bytes) -> None:
    for is_stream in (True, False):
        meter = Meter(provider, asked=100)
        meter.is_stream = is_stream
        meter.feed(b"data: " + data)
        meter.end()

        assert meter.count(is_whole=True).input in (0, 100)


def test_an_answer_of_megabytes_is_not_kept() -> None:
    meter = Meter("openai", asked=4)

    for _ in range(100):
        meter.feed(b"x" * 100_000)
    meter.end()

    assert len(meter._rest) < 2_000_000
    assert meter.count(is_whole=True).output == 10_000_000 // 4


@pytest.mark.parametrize(
    "usage", [{"input_tokens": -5}, {"input_tokens": "9"}, {"input_tokens": 1e30}]
)
def test_numbers_that_are_none_count_nothing(usage: dict[str, object]) -> None:
    meter = Meter("anthropic", asked=0)

    meter.feed(json.dumps({"model": "m", "usage": usage | {"output_tokens": 0}}).encode())
    meter.end()

    assert meter.count(is_whole=True) == Tokens()


@pytest.mark.parametrize("told", [{"promptTokenCount": 1}, {"candidatesTokenCount": "1"}, {}])
def test_what_a_usage_does_not_tell_is_estimated(told: dict[str, object]) -> None:
    meter = Meter("google", asked=100)
    meter.feed(json.dumps({"x": "y" * 400, "usageMetadata": told}).encode())
    meter.end()

    found = meter.count(is_whole=True)

    assert found.output > 100
    assert found.input == told.get("promptTokenCount", 100)


def test_what_a_stream_told_once_a_later_piece_does_not_take_back() -> None:
    meter = Meter("google", asked=100)
    meter.is_stream = True
    for told in ({"promptTokenCount": 7, "candidatesTokenCount": 50}, {"promptTokenCount": 7}):
        meter.feed(f"data: {json.dumps({'usageMetadata': told})}\n".encode())
    meter.end()

    assert meter.count(is_whole=True) == Tokens(7, 0, 0, 50)


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("provider", WIRES)
def test_what_is_told_behind_megabytes_is_read(provider: str, *, is_stream: bool) -> None:
    usage = {
        "anthropic": {"usage": {"input_tokens": 7, "output_tokens": 9}},
        "google": {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 9}},
        "openai": {"usage": {"input_tokens": 7, "output_tokens": 9}},
    }[provider]
    lie = json.dumps({"usage": {"input_tokens": 0, "output_tokens": 0}})
    event = {"model": "m", "instructions": "long " * 500_000 + lie} | usage | {"user": lie}
    meter, data = Meter(provider, asked=1), json.dumps(event).encode()
    meter.is_stream = is_stream

    for at in range(0, len(data), 100_000):
        meter.feed((b"data: " if is_stream and not at else b"") + data[at : at + 100_000])
    meter.feed(b"\n\n")
    meter.end()

    assert meter.count(is_whole=True) == Tokens(7, 0, 0, 9)


def test_of_a_conversation_that_was_made_shorter_on_the_way_all_rounds_count() -> None:
    last = {"input_tokens": 23_000, "output_tokens": 1_000, "cache_read_input_tokens": 50}
    first = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}
    meter = Meter("anthropic", asked=1)

    usage = last | {"iterations": [first, {"type": "message"} | last]}
    meter.feed(json.dumps({"model": "m", "usage": usage}).encode())
    meter.end()

    assert meter.count(is_whole=True) == Tokens(203_050, 50, 0, 4_500)


def test_a_usage_with_every_piece_is_not_the_last_one() -> None:
    meter = Meter("openai", asked=1)
    meter.is_stream = True

    for out, reason in ((1, None), (50, None), (60, "stop")):
        assert not meter.seen.is_final
        choices = [{"delta": {}, "finish_reason": reason}]
        usage = {"prompt_tokens": 5, "completion_tokens": out}
        meter.feed(f"data: {json.dumps({'choices': choices, 'usage': usage})}\n".encode())

    assert meter.seen.is_final
    assert meter.count(is_whole=False) == Tokens(5, 0, 0, 60)


def test_a_name_counts_before_patterns_and_the_longest_pattern_first(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "claude-*: {input: 1, output: 2}\n"
        "claude-opus-*: {input: 5, output: 6, cached: 0.5}\n"
        "claude-opus-4: {input: 7, output: 8}\n"
    )
    found = prices.load(file)

    assert [p.input if (p := found.of(name)) else None for name in (
        "claude-x", "claude-opus-3", "claude-opus-4", "gpt-5", None
    )] == [1, 5, 7, None, None]  # fmt: skip
    price = found.of("claude-opus-3")
    assert price and price.nano_usd(Tokens(1000, 400, 100, 10)) == (500 * 5 + 200 + 500 + 60) * 1000


@pytest.mark.parametrize(
    "text",
    ["[1]", "m: 3", "m: {input: 1}", "m: {input: -1, output: 1}", "m: {input: 1, output: x}",
     "m: {input: 1, output: 1, other: 2}", "m: {input: 1, input: 2, output: 3}"],
)  # fmt: skip
def test_a_wrong_table_stops_the_start_and_says_why(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)

    with pytest.raises(errors.ConfigError, match="KNIFY_PRICES_FILE"):
        prices.load(file)
