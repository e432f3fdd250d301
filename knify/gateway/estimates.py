"""How many tokens a request puts in, before anybody has counted: rather too many than too few.

Text takes 3 bytes or more a token with all vendors (English 4 and more, code and other scripts 3).
What stands as base64 where a vendor takes files is no text: vendors count images by their size in
pixels, sound and films by their length, papers by their pages. It has to begin as such a file
does: everywhere else, whatever it says of itself, it is text to the vendor and counts as text.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Iterator
from typing import Any, Final

A_TOKEN: Final = 3  # bytes of text
#: The most that a vendor counts for one picture: large ones are made smaller first.
AN_IMAGE: Final = 5_000
#: Decoded bytes for a token: a film or a recording (a minute of 64 kbit/s is 480 KB and at most
#: 16,000 tokens), a paper (a page of compressed text is some 3 KB, and 1,500 tokens).
_OF_SOUND: Final = 32
_OF_PAPER: Final = 2
#: Names behind which the parts of a conversation stand.
_PARTS: Final = {
    "anthropic": ("messages", "content", "source"),
    "google": ("contents", "parts", "functionResponse", "function_response"),
    "openai": ("messages", "input", "content", "output"),
}
#: How files begin, by the kind they are said to be.
_BEGINS: Final = {
    "image/": (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF"),
    "audio/": (b"RIFF", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"OggS", b"fLaC"),
    "video/": (b"\x1aE\xdf\xa3", b"RIFF", b"\x00\x00\x01\xba"),
    "application/": (b"%PDF-", b"PK\x03\x04"),
}
_BOXED: Final = b"ftyp"  # behind 4 bytes of length: HEIC, MP4, M4A, MOV
_LETTERS: Final = (string.ascii_letters + string.digits + "+/-_").encode()


def tokens(vendor: str, body: dict[str, Any], size: int) -> int:
    """Of a request that was read from `size` bytes of JSON."""
    text, found = size, 0
    for kind, data in _files(vendor, body):
        counted = _of(kind.lower(), data)
        if counted is not None:
            text -= len(data)
            found += counted
    return max(text, 0) // A_TOKEN + found + 1


def _of(kind: str, data: str) -> int | None:
    """Of a file with this media type; None: no file, it counts as the text that it is."""
    family = kind.partition("/")[0] + "/"
    try:
        start = base64.b64decode(data[:32].replace("-", "+").replace("_", "/") + "==")
    except ValueError:
        return None
    is_boxed = start[4:8] == _BOXED and family != "application/"
    if not (start.startswith(_BEGINS.get(family, ())) or is_boxed):
        return None
    if not data.isascii() or data.rstrip("=").encode().translate(None, _LETTERS):
        return None
    size = len(data) * 3 // 4
    if family == "image/":
        return AN_IMAGE
    return AN_IMAGE + size // (_OF_PAPER if family == "application/" else _OF_SOUND)


def _files(vendor: str, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Media type and base64 of what stands where this vendor takes files; each once."""
    left: list[Any] = [body]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left.extend(one)
        elif isinstance(one, dict):
            left.extend(one[name] for name in _PARTS[vendor] if name in one)
            kind, data = _FILES[vendor](one)
            if isinstance(kind, str) and isinstance(data, str):
                yield kind, data


def _anthropic(one: dict[str, Any]) -> tuple[Any, Any]:
    source = one.get("source")
    if one.get("type") not in ("image", "document") or not isinstance(source, dict):
        return None, None
    return (source.get("media_type"), source.get("data")) if _is(source, "base64") else (None, None)


def _google(one: dict[str, Any]) -> tuple[Any, Any]:
    found = one.get("inlineData", one.get("inline_data"))
    if not isinstance(found, dict):
        return None, None
    return found.get("mimeType", found.get("mime_type")), found.get("data")


def _openai(one: dict[str, Any]) -> tuple[Any, Any]:
    """Chat completions' parts of a message, and responses'."""
    if _is(one, "image_url", "input_image", "computer_screenshot"):
        image = one.get("image_url")
        return _of_url(image.get("url") if isinstance(image, dict) else image)
    if _is(one, "file", "input_file"):
        file = one.get("file") if _is(one, "file") else one
        return _of_url(file.get("file_data") if isinstance(file, dict) else None)
    sound = one.get("input_audio")
    if _is(one, "input_audio") and isinstance(sound, dict):
        return f"audio/{sound.get('format')}", sound.get("data")
    return None, None


def _is(one: dict[str, Any], *kinds: str) -> bool:
    return one.get("type") in kinds


def _of_url(url: Any) -> tuple[str | None, str | None]:
    """Of `data:image/png;base64,…`."""
    if not isinstance(url, str) or not url.startswith("data:"):
        return None, None
    head, _, data = url.partition(",")
    return (head[5:-7], data) if len(head) < 200 and head.endswith(";base64") else (None, None)


_FILES: Final = {"anthropic": _anthropic, "google": _google, "openai": _openai}
