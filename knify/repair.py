"""Repair of one node: what runs or lies in Podman is held against Redis, and only what is ours.

Containers without a turn are stopped: their slot is somebody else's. What Redis does not know is
stopped too and kept, for a person to look at; what Redis has deleted is removed.
"""

from __future__ import annotations

import logging

from knify import clock, model
from knify.lifecycle import SandboxState
from knify.sandbox import base
from knify.store.open import Store

log = logging.getLogger(__name__)

_YOUNG_MS = 60_000  # a fresh container's record may be on its way through a restored Redis


def wrong(store: Store, found: list[base.Listed]) -> tuple[list[str], list[str]]:
    """(sandboxes whose container is to be stopped, sandboxes to be removed)."""
    stop, remove = [], set()
    for row in found:
        sandbox = store.sandboxes.find(row.sandbox_id)
        if sandbox is not None and sandbox.state is SandboxState.DELETED:
            remove.add(row.sandbox_id)
        elif row.kind == "container" and row.running and _is_old(row):
            if sandbox is None:
                log.warning("%s is not known here: stopped and kept", row.sandbox_id)
                stop.append(row.sandbox_id)
            elif not _is_hot(sandbox) and not store.sandboxes.turns(row.sandbox_id):
                log.warning("%s runs without a job: stopped", row.sandbox_id)
                stop.append(row.sandbox_id)
    return stop, sorted(remove)


def _is_hot(sandbox: model.Sandbox) -> bool:
    """Left frozen for its next turn; when its time is over the keeper stops it, else we do."""
    return (sandbox.hot_until or 0) > clock.now_ms() - _YOUNG_MS


def _is_old(row: base.Listed) -> bool:
    return clock.now_ms() - row.created_at > _YOUNG_MS
