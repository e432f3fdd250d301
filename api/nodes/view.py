"""A node as administrators see it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from knify import clock
from knify.services import nodes


def node(n: nodes.Node) -> dict[str, Any]:
    """All of it."""
    times = {name: getattr(n, name) for name in ("draining_since", "cordoned_since")}
    return asdict(n) | {k: None if ms is None else clock.rfc3339(ms) for k, ms in times.items()}
