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
_DUMPED: Final = 1024  # bytes of the longest text whose rarer forms are looked for, too
#: What different encoders of URLs leave as it is: all nothing, paths, JavaScript's two functions.
_SAFE: Final = ("", "/", "!'()*~", ";,/?:@&=+$-_.!~*'()#")


def of(value: str, *, rare: bool = True) -> set[bytes]:
    """All forms of one value, and of each of its lines that is long enough.

    The lines around a PEM block are those of everybody's, so they are none. `rare`: also those
    forms that come about only now and then; never of what is longer than 1 KiB in one line.
    """
    parts = {value, value.strip()}
    parts |= {line for one in value.splitlines() if not _is_armour(line := one.strip())}
    found: set[bytes] = set()
    for part in parts:
        if (size := len(_bytes(part))) >= SHORTEST:
            found.update(form.translate(None, BREAKS) for form in _forms(part))
            if rare and size <= _DUMPED:
                found.update(form.translate(None, BREAKS) for form in _rare(part))
    return {form for form in found if len(form) >= SHORTEST}


def _is_armour(line: str) -> bool:
    return line.startswith("-----") and line.endswith("-----")


def _forms(text: str) -> Iterator[bytes]:
    raw = _bytes(text)
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


def _rare(text: str) -> Iterator[bytes]:
    """What happens by accident now and then: other programs' strings, dumps, encoders twice."""
    raw = _bytes(text)
    yield from _dumps(raw)
    yield from _base32(raw)
    for inner in _base64(raw):  # as in what Kubernetes shows of what was encoded already
        yield from _base64(inner)
    yield "".join(f"\\x{byte:02x}" for byte in raw).encode()
    yield "".join(f"\\x{byte:02X}" for byte in raw).encode()
    wide = text.encode("utf-16-be", "surrogatepass")
    units = [wide[n : n + 2].hex() for n in range(0, len(wide), 2)]
    yield "".join(f"\\u{unit}" for unit in units).encode()
    yield "".join(f"\\u{unit.upper()}" for unit in units).encode()
    yield wide
    yield text.encode("utf-16-le", "surrogatepass")


def _dumps(raw: bytes) -> Iterator[bytes]:
    """Hex with something between: bytes, and pairs of bytes from either of the two places.

    `od -x` turns each pair around, so that a pair with a foreign byte hides ours: it is left out.
    """
    texts = [raw.hex(separator) for separator in ":- "]
    texts += [_pairs(raw), f"{raw[:1].hex()} {_pairs(raw[1:])}"]
    for text in texts:
        yield from (text.encode(), text.upper().encode())
    for start in (0, 1):
        turned = [raw[n : n + 2][::-1].hex() for n in range(start, len(raw) - 1, 2)]
        yield " ".join(turned).encode()


def _pairs(raw: bytes) -> str:
    return " ".join(raw[n : n + 2].hex() for n in range(0, len(raw), 2))


def _base32(raw: bytes) -> Iterator[bytes]:
    """As of base64, the digits that depend on nothing else; five bytes make eight of them."""
    for before in range(5):
        digits = base64.b32encode(b"\0" * before + raw)
        own = digits[-(-before * 8 // 5) : (before + len(raw)) * 8 // 5]
        yield from (own, own.lower())


def _bytes(text: str) -> bytes:
    """As they are; an operator's variable may hold what is no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


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
    raw = _bytes(text)
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
