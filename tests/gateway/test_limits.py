"""How much may come out of a call, by what it says itself."""

from __future__ import annotations

from typing import Any

import pytest

from knify.gateway import limits


@pytest.mark.parametrize(
    ("vendor", "body", "most"),
    [
        ("anthropic", {"max_tokens": 9}, 9),
        ("anthropic", {"max_tokens": 9, "n": 5}, 9),
        ("anthropic", {}, limits.USUAL),
        ("openai", {"max_output_tokens": 50}, 50),
        ("openai", {"max_tokens": 5, "max_completion_tokens": 70, "n": 3}, 210),
        ("openai", {"n": 2}, 2 * limits.USUAL),
        ("openai", {"max_tokens": True, "n": None}, limits.USUAL),
        ("openai", {"max_tokens": -1}, limits.USUAL),
        ("openai", {"max_tokens": 1e300, "n": 1e300}, 10_000_000),
        ("google", {"generationConfig": {"maxOutputTokens": 8, "candidateCount": 2}}, 16),
        ("google", {"generation_config": {"max_output_tokens": 8, "candidate_count": 2}}, 16),
        ("google", {"generationConfig": 3}, limits.USUAL),
    ],
)
def test_the_most_that_comes_out_is_read_in_every_vendors_form(
    vendor: str, body: dict[str, Any], most: int
) -> None:
    assert limits.most(vendor, body) == most
