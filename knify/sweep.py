"""The sweeper: what time or an accident left undone is hinted again. It reads only what is due."""

from __future__ import annotations

import logging

from knify import clock, errors
from knify.core import Core

log = logging.getLogger(__name__)

_AGAIN_MS = 10_000  # a hint that nobody took is repeated after this


def sweep(core: Core) -> int:
    """Hint what is due and unclaimed, and expire idle sandboxes. Returns how many there were."""
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
    _delete_objects(core)
    if due or expired:
        log.info("swept: %d due executions, %d expired sandboxes", len(due), len(expired))
    return len(due) + len(expired)


def _delete_objects(core: Core) -> None:
    """Archives that were replaced, given up, or belonged to deleted sandboxes."""
    seconds, micros = core.store.client.time()
    for key in core.store.sandboxes.old_objects(seconds * 1000 + micros // 1000):
        try:
            core.objects.delete(key)
        except errors.ObjectStoreError as failed:
            log.warning("%s stays for now: %s", key, failed)
            return
        core.store.sandboxes.forget_object(key)
