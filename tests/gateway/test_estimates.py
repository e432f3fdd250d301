"""What a request puts in, estimated before anybody counts it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from knify.gateway import estimates


def encoded(start: bytes) -> str:
    return base64.b64encode(start + bytes(900_000)).decode()


PICTURE = encoded(b"\x89PNG\r\n\x1a\n")
WORDS = "It was a bright cold day in April, and the clocks were striking thirteen. " * 100


def estimated(vendor: str, body: dict[str, Any]) -> int:
    return estimates.tokens(vendor, body, len(json.dumps(body)))


def anthropic(kind: str = "image", media: str = "image/png", data: str = PICTURE) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media, "data": data}
    return {"messages": [{"role": "user", "content": [{"type": kind, "source": source}]}]}


def openai(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def google(**part: Any) -> dict[str, Any]:
    return {"contents": [{"parts": [part]}]}


URL = f"data:image/png;base64,{PICTURE}"
SHOT = {"type": "input_image", "image_url": URL}


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("anthropic", anthropic()),
        ("anthropic", {"messages": [{"content": [{"content": anthropic()["messages"]}]}]}),
        ("google", google(inlineData={"mimeType": "image/png", "data": PICTURE})),
        ("google", google(inline_data={"mime_type": "image/png", "data": PICTURE})),
        ("openai", {"input": [{"content": [SHOT]}]}),
        ("openai", {"input": [{"type": "function_call_output", "output": [SHOT]}]}),
        ("openai", openai(type="image_url", image_url={"url": URL})),
    ],
)
def test_a_picture_costs_what_a_picture_costs_in_every_vendors_form(
    vendor: str, body: dict[str, Any]
) -> None:
    assert 5_000 <= estimated(vendor, body) < 5_200


LONG = WORDS * 20
NO_PICTURE = "data:image/png;base64," + LONG
LETTERS = "data:image/png;base64," + "lorem+ipsum+" * 10_000


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("anthropic", {"messages": [{"content": NO_PICTURE}]}),
        ("anthropic", {"messages": [{"content": URL[:150_000]}]}),
        ("anthropic", {"messages": [{"content": [{"type": "text", "text": URL[:150_000]}]}]}),
        ("anthropic", anthropic(data=LONG)),
        ("anthropic", anthropic(data=PICTURE[:40] + LONG)),
        ("anthropic", anthropic(data=PICTURE[:40] + "=" * 9 + PICTURE[:150_000])),
        ("anthropic", {"tools": [{"input_schema": {"description": NO_PICTURE}}]}),
        ("openai", openai(type="image_url", image_url={"url": NO_PICTURE})),
        ("openai", openai(type="image_url", image_url={"url": LETTERS})),
        ("openai", {"instructions": URL[:150_000]}),
        ("google", google(inlineData={"mimeType": "image/png", "data": "é" + LONG})),
    ],
)
def test_what_only_says_that_it_is_a_picture_is_text(vendor: str, body: dict[str, Any]) -> None:
    assert estimated(vendor, body) >= len(json.dumps(body)) // 3


def test_nothing_is_taken_off_twice() -> None:
    part = {"type": "tool_result", "data": URL, "mime_type": "image/png", "image_url": URL}
    body = {"messages": [{"content": [part, {"type": "text", "text": LONG}]}]}

    assert all(estimated(vendor, body) > len(LONG) / 4 for vendor in ("anthropic", "openai"))


def test_text_is_estimated_rather_too_high() -> None:
    body = {"messages": [{"role": "user", "content": WORDS}]}

    assert len(WORDS) / 4 < estimated("anthropic", body) < len(WORDS) / 2.5


@pytest.mark.parametrize(
    ("vendor", "body", "least", "most"),
    [
        ("anthropic", anthropic("document", "application/pdf", encoded(b"%PDF-1.7")),
         300_000, 500_000),
        ("anthropic", anthropic("document", "text/plain", WORDS), 2_000, 3_000),
        ("openai", openai(type="input_audio",
                          input_audio={"format": "wav", "data": encoded(b"RIFF")}), 20_000, 40_000),
        ("google", google(inlineData={"mimeType": "video/mp4", "data": encoded(b"0000ftyp")}),
         20_000, 40_000),
    ],
)  # fmt: skip
def test_other_files_are_estimated_by_their_size(
    vendor: str, body: dict[str, Any], least: int, most: int
) -> None:
    assert least < estimated(vendor, body) < most


def test_a_tools_arguments_are_text_whatever_they_look_like() -> None:
    call = {"type": "tool_use", "input": {"media_type": "image/png", "data": WORDS * 10}}

    found = estimated("anthropic", {"messages": [{"role": "assistant", "content": [call]}]})

    assert found > len(WORDS * 10) / 4
