"""Identifiers: a prefix and a UUIDv7 in 26 lower-case base-32 digits, so they sort by time."""

from __future__ import annotations

import base64
import secrets

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_CROCKFORDS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET.encode())


def new(prefix: str) -> str:
    """A fresh id such as `job_06b2k…`; ids made later sort later (to the millisecond)."""
    octets = bytes(4) + uuid_utils.uuid7().bytes  # 160 bits: six digits of zero, then ours
    return f"{prefix}_{base64.b32encode(octets)[6:].translate(_CROCKFORDS).decode()}"


def paired(prefix: str, other: str) -> str:
    """The id of what is made with another thing: the same digits behind its own prefix."""
    return f"{prefix}_{other.rpartition('_')[2]}"


def nonce() -> str:
    """128 unguessable bits in hex: marks our own lines among a sandbox's output."""
    return secrets.token_hex(16)
