"""How many tokens a request puts in, before anybody has counted: rather too many than too few.

Text takes 3 bytes or more a token with all vendors (English 4 and more, code and other scripts 3).
What stands in it as base64 is no text: vendors count images by their size in pixels, sound and
films by their length, papers by their pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from knify.gateway import objects

A_TOKEN: Final = 3  # bytes of text
#: The most that a vendor counts for one picture: large ones are made smaller first.
AN_IMAGE: Final = 5_000
#: Decoded bytes for a token: a film or a recording (a minute of 64 kbit/s is 480 KB and at most
#: 16,000 tokens), a paper (a page of compressed text is some 3 KB, and 1,500 tokens).
_OF_SOUND: Final = 32
_OF_PAPER: Final = 2
_MIMES: Final = ("media_type", "mimeType", "mime_type")
_FREE: Final = frozenset({"input", "args", "arguments"})  # of tools: what stands there is text


def tokens(body: Any, size: int) -> int:
    """Of a request that was read from `size` bytes of JSON."""
    text, found = size, 0
    for kind, data in _inlined(body):
        text -= len(data)
        found += _of(kind, len(data) * 3 // 4)
    return max(text, 0) // A_TOKEN + found + 1


def _of(kind: str, size: int) -> int:
    """Of a file with this media type and so many bytes."""
    kind = kind.lower()
    if kind.startswith("text/"):
        return size * 4 // 3 // A_TOKEN  # it is no base64
    if kind.startswith("image/"):
        return AN_IMAGE
    if kind.startswith(("audio/", "video/")):
        return AN_IMAGE + size // _OF_SOUND
    return AN_IMAGE + size // _OF_PAPER


def _inlined(body: Any) -> Iterator[tuple[str, str]]:
    """Media type and base64 of all files that stand in a request, in whichever vendor's form."""
    for one in objects.of(body, _FREE):
        yield from _of_object(one)


def _of_object(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    data = one.get("data")
    if isinstance(data, str):
        kind = next((one[name] for name in _MIMES if isinstance(one.get(name), str)), None)
        if kind is None and isinstance(one.get("format"), str):  # `input_audio`
            kind = f"audio/{one['format']}"
        if kind is not None:
            yield kind, data
    for value in one.values():
        if isinstance(value, str) and value.startswith("data:"):
            head, comma, data = value.partition(",")
            if comma and head.endswith(";base64") and len(head) < 200:
                yield head[5:], data
