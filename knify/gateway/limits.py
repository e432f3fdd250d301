"""How many tokens may come out of a call, as the call itself says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

#: Of a call that sets no limit: no vendor's usual models give more.
USUAL: Final = 128_000
_MOST: Final = 10_000_000  # larger numbers are refused by every vendor
_NAMES: Final = {
    "anthropic": ("maxtokens",),
    "google": ("maxoutputtokens",),
    "openai": ("maxtokens", "maxcompletiontokens", "maxoutputtokens"),
}
_ANSWERS: Final = {"anthropic": (), "google": ("candidatecount",), "openai": ("n",)}


def most(vendor: str, body: dict[str, Any]) -> int:
    """Of all the answers that it wants, together."""
    plain = {_plain(name): value for name, value in body.items()}
    if vendor == "google":
        config = plain.get("generationconfig")
        plain = {_plain(name): v for name, v in config.items()} if isinstance(config, dict) else {}
    # Of two limits either may be the one that is read.
    each = max(_numbers(plain, _NAMES[vendor]), default=USUAL)
    answers = max(_numbers(plain, _ANSWERS[vendor]), default=1)
    return min(each * answers, _MOST)


def _numbers(plain: dict[str, Any], names: tuple[str, ...]) -> Iterator[int]:
    for name in names:
        found = plain.get(name)
        if isinstance(found, (int, float)) and not isinstance(found, bool) and found >= 1:
            yield int(min(found, _MOST))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
