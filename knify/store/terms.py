"""What executions are found by: short words, one for each searchable fact about them.

A tenant's zset `…:terms` holds, for each execution and word, the word and the execution's moment
as one text of 21 characters, so that all that share a word stand together, oldest first. The
moment (µs, unique within a tenant) is also the score of the execution in the list of all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

KEYS: Final = 8  # searchable keys of one execution's metadata
KEY_CHARACTERS: Final = 64
TASK: Final = "@task"  # a type of its own for whatever came through the Tasks API


def of(metadata: Mapping[str, Any], child_of: str | None) -> list[str]:
    """All words of an execution but that of its state and type; they never change."""
    return of_metadata(metadata) + ([of_parent(child_of)] if child_of else [])


def of_metadata(metadata: Mapping[str, Any]) -> list[str]:
    """Words of its first scalar values; the others are kept, and found by nobody."""
    found = [
        word(name, text)
        for name, value in metadata.items()
        if 0 < len(name) <= KEY_CHARACTERS and (text := as_text(value)) is not None
    ]
    return found[:KEYS]


def of_parent(execution_id: str) -> str:
    """The word of all children of a task, which no metadata have."""
    return _word({"child_of": execution_id})


def word(name: str, text: str) -> str:
    """Eight characters, 48 bits of a hash: long values cost no more than short ones."""
    return _word([name, text])


def _word(fact: Any) -> str:
    data = json.dumps(fact).encode()  # also of texts that are no Unicode
    return base64.urlsafe_b64encode(hashlib.blake2b(data, digest_size=6).digest()).decode()


def of_kind(state: str, job_type: str) -> str:
    """The word of all executions of one state and type; the scripts make the same."""
    number = 0
    for byte in f"{state}:{job_type}".encode():
        number = (number * 31 + byte) % 2**28
    return f"={number:07x}"


def of_kinds(states: Iterable[str], job_types: Iterable[str]) -> list[str]:
    """The words of all these together."""
    kinds = list(job_types)
    return [of_kind(state, kind) for state in states for kind in kinds]


def as_text(value: Any) -> str | None:
    """A scalar as a query parameter writes it; None for what cannot be searched."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
