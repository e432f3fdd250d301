"""Names of the keys by which a node is chosen; `keys.py` says what each holds."""

from __future__ import annotations

from typing import Final

from knify.store.keys import PREFIX

CORDONED: Final = PREFIX + "cordoned"
KEEP: Final = PREFIX + "keep"


def image(name: str) -> str:
    """The nodes that have an image."""
    return f"{PREFIX}image:{name}"


def trees(workspace_id: str) -> str:
    """The nodes that made a sandbox from a workspace lately, so have it unpacked."""
    return f"{PREFIX}trees:{workspace_id}"
