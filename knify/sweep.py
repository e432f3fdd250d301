"""The sweeper: what time or an accident left undone is hinted again. It reads only what is due."""

from __future__ import annotations

import logging

from knify import clock
from knify.core import Core
from knify.services import retention

log = logging.getLogger(__name__)

_AGAIN_MS = 10_000  # a hint that nobody took is repeated after this


def sweep(core: Core) -> int:
    """Hint what is due and unclaimed, expire idle sandboxes, and let go what is old.

    Returns how many there were.
    """
    due = core.store.executions.due(again_ms=_AGAIN_MS)
    living = core.store.registry.nodes() if due else {}
    for execution_id, node in due:
        if node in living or (living and not node):  # else its queue would only grow
            core.hints.advance(execution_id, node)
    expired = core.store.sandboxes.expired(clock.now_ms())
    for sandbox_id in expired:
        retired = core.store.sandboxes.retire(sandbox_id, expired=True)
        if retired.node:
            core.hints.remove(sandbox_id, retired.node)
    tidied = retention.tidy(core)
    if due or expired:
        log.info("swept: %d due executions, %d expired sandboxes", len(due), len(expired))
    return len(due) + len(expired) + tidied
