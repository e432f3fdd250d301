"""What lists, rows and searches keep of what may be long: short enough for a million of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_SPEC: Final = 700  # bytes of JSON of a request
_METADATA: Final = 500
_TEXT: Final = 200  # characters of one long text in it
_ERROR: Final = 300


def request(whole: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A request as lists show it, and whether anything of it is cut or left out."""
    if len(_json(whole)) <= _SPEC:
        return dict(whole), False
    shown: dict[str, Any] = {}
    for name, value in sorted(whole.items(), key=_by_weight):
        if isinstance(value, str):
            value = _clipped(value, _TEXT)
        if len(_json(shown | {name: value})) <= _SPEC:
            shown[name] = value
    return shown, True


def metadata(whole: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Metadata as lists show and search it."""
    if len(_json(whole)) <= _METADATA:
        return dict(whole), False
    shown: dict[str, Any] = {}
    for name, value in whole.items():
        if isinstance(value, str | int | float) and len(_json(shown | {name: value})) <= _METADATA:
            shown[name] = value
    return shown, True


def error(whole: str | None) -> tuple[str | None, bool]:
    """An error as lists show it."""
    shown = None if whole is None else _clipped(whole, _ERROR)
    return shown, shown != whole


def _by_weight(pair: tuple[str, Any]) -> tuple[bool, int, str]:
    """The type first, then the short fields."""
    return pair[0] != "job_type", len(_json(pair[1])), pair[0]


def _clipped(text: str, most: int) -> str:
    """At most `most` bytes of JSON."""
    if len(_json(text)) <= most + 2:
        return text
    kept = text[:most]
    while len(_json(kept)) > most - 6:
        kept = kept[: -max(1, len(kept) // 8)]
    return kept + "…"


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
