"""The forms in which a secret's value may leave a sandbox: itself, and what encoders make of it.

All are without line breaks: who looks for them takes the breaks out of what is looked at, so that a
value is also found where a program has wrapped it.
"""

from __future__ import annotations

import base64
import html
import json
import shlex
import urllib.parse
from collections.abc import Iterator
from typing import Final

SHORTEST: Final = 8  # bytes of a value, or of a line of one: shorter ones stand anywhere by chance
BREAKS: Final = b"\r\n"
#: What different encoders of URLs leave as it is: all nothing, paths, JavaScript's two functions.
_SAFE: Final = ("", "/", "!'()*~", ";,/?:@&=+$-_.!~*'()#")


def of(value: str) -> set[bytes]:
    """All forms of one value, and of each of its lines that is long enough.

    The lines around a PEM block are those of everybody's, so they are none.
    """
    parts = {value, value.strip()}
    parts |= {line for one in value.splitlines() if not _is_armour(line := one.strip())}
    found: set[bytes] = set()
    for part in parts:
        if len(part.encode()) >= SHORTEST:
            found.update(form.translate(None, BREAKS) for form in _forms(part))
    return {form for form in found if len(form) >= SHORTEST}


def _is_armour(line: str) -> bool:
    return line.startswith("-----") and line.endswith("-----")


def _forms(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield raw
    yield from _base64(raw)
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    for written in (*_escaped(text), *_in_urls(text)):
        yield written.encode("utf-8", "surrogatepass")


def _base64(raw: bytes) -> Iterator[bytes]:
    """What stands in base64 of any text that holds it: the digits that depend on nothing else."""
    for before in range(3):
        digits = base64.b64encode(b"\0" * before + raw).rstrip(b"=")
        mixed = 1 if (before + len(raw)) % 3 else 0  # its last digit depends on what follows
        own = digits[(0, 2, 3)[before] : len(digits) - mixed]
        yield own
        yield own.translate(bytes.maketrans(b"+/", b"-_"))


def _escaped(text: str) -> Iterator[str]:
    """As JSON, programs and shells quote it; JSON within JSON, too."""
    for is_ascii in (True, False):
        once = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        yield once
        yield once.replace("/", "\\/")
        yield json.dumps(once, ensure_ascii=is_ascii)[1:-1]
    yield repr(text)[1:-1]
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield html.escape(text)


def _in_urls(text: str) -> Iterator[str]:
    raw = text.encode()
    for safe in _SAFE:
        quoted = urllib.parse.quote(raw, safe=safe)
        yield quoted
        yield _lower(quoted)
        yield quoted.replace("%20", "+")
    yield "".join(f"%{byte:02X}" for byte in raw)
    yield "".join(f"%{byte:02x}" for byte in raw)


def _lower(quoted: str) -> str:
    """With small hex digits behind each percent sign; there is no other such sign in it."""
    first, *rest = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])
