"""A node as administrators see it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from knify import clock
from knify.services import nodes


def node(n: nodes.Node) -> dict[str, Any]:
    """All of it."""
    since = n.draining_since
    return asdict(n) | {"draining_since": None if since is None else clock.rfc3339(since)}
