"""What a request puts in, estimated before anybody counts it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from knify.gateway import estimates

PICTURE = base64.b64encode(b"\x89PNG" + bytes(900_000)).decode()
WORDS = "It was a bright cold day in April, and the clocks were striking thirteen. " * 100


def estimated(body: dict[str, Any]) -> int:
    return estimates.tokens(body, len(json.dumps(body)))


def anthropic(kind: str = "image", media: str = "image/png", data: str = PICTURE) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media, "data": data}
    return {"messages": [{"role": "user", "content": [{"type": kind, "source": source}]}]}


@pytest.mark.parametrize(
    "body",
    [
        anthropic(),
        {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}]},
        {"contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": PICTURE}}]}]},
        {"input": [{"content": [{"image_url": f"data:image/png;base64,{PICTURE}"}]}]},
        {"messages": [{"content": [{"image_url": {"url": f"data:image/png;base64,{PICTURE}"}}]}]},
    ],
)
def test_a_picture_costs_what_a_picture_costs_in_every_vendors_form(body: dict[str, Any]) -> None:
    assert 5_000 <= estimated(body) < 5_200


def test_text_is_estimated_rather_too_high() -> None:
    body = {"messages": [{"role": "user", "content": WORDS}]}

    assert len(WORDS) / 4 < estimated(body) < len(WORDS) / 2.5


@pytest.mark.parametrize(
    ("body", "least", "most"),
    [
        (anthropic("document", "application/pdf"), 300_000, 500_000),
        (anthropic("document", "text/plain", WORDS), 2_000, 3_000),
        ({"x": [{"input_audio": {"format": "wav", "data": PICTURE}}]}, 20_000, 40_000),
    ],
)
def test_other_files_are_estimated_by_their_size(
    body: dict[str, Any], least: int, most: int
) -> None:
    assert least < estimated(body) < most


def test_a_tools_arguments_are_text_whatever_they_look_like() -> None:
    call = {"type": "tool_use", "input": {"media_type": "image/png", "data": WORDS * 10}}

    found = estimated({"messages": [{"role": "assistant", "content": [call]}]})

    assert found > len(WORDS * 10) / 4
