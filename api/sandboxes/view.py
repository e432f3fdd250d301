"""Sandboxes as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knify import clock, model
from knify.store.sandboxes import Orphan


def sandbox(s: model.Sandbox, turns: Sequence[str]) -> dict[str, Any]:
    """One sandbox with the jobs that run or wait in it."""
    return {
        "id": s.id,
        "state": s.state.value,
        "node": s.node,
        "image": s.image,
        "created_at": clock.rfc3339(s.created_at),
        "expires_at": None if s.expires_at is None else clock.rfc3339(s.expires_at),
        "reason": s.reason,
        "jobs": list(turns),
    }


def orphan(o: Orphan, kept_until: int) -> dict[str, Any]:
    """What a node's Podman has of a sandbox that no record knows; removed after `kept_until`."""
    return {
        "id": o.id,
        "state": "orphan",
        "node": o.node,
        "kinds": list(o.kinds),
        "created_at": clock.rfc3339(o.created_at),
        "found_at": clock.rfc3339(o.found_at),
        "kept_until": clock.rfc3339(kept_until),
    }
