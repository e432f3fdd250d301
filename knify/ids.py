"""Identifiers: a prefix and a UUIDv7 in 26 lower-case base-32 digits, so they sort by time."""

from __future__ import annotations

import re
import secrets

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_PATTERN = re.compile(rf"^[a-z]+_[{_ALPHABET}]{{26}}$")


def new(prefix: str) -> str:
    """A fresh id such as `job_06b2k…`; ids made later sort later (to the millisecond)."""
    number = uuid_utils.uuid7().int
    digits = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id with this prefix."""
    return text.startswith(prefix + "_") and _PATTERN.match(text) is not None


def nonce() -> str:
    """128 unguessable bits in hex: marks our own lines among a sandbox's output."""
    return secrets.token_hex(16)
