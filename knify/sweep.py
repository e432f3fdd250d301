"""The sweeper: what time or an accident left undone is hinted again. It reads only what is due."""

from __future__ import annotations

import logging

from knify import clock, counters, errors
from knify.core import Core
from knify.services import deletion, jobs, retention, schedules

log = logging.getLogger(__name__)

_AGAIN_MS = 10_000  # a hint that nobody took is repeated after this
_HOUR_MS = 3_600_000
_PAUSE_MS = 30_000  # without a sweep for longer than this, nobody knows what happened meanwhile
_JUMP_MS = 24 * _HOUR_MS  # a longer way between two looks at the clock may be a wrong clock
_MENDED_MS = _HOUR_MS  # in which a wrong clock is noticed and set right


def sweep(core: Core) -> int:
    """Hint what is due and unclaimed, expire idle sandboxes, and let go what is old.

    Returns how many there were.
    """
    pause_ms = max(_PAUSE_MS, int(core.settings.sweep_seconds * 3000))
    watched, jumped = core.store.registry.watch(pause_ms, _JUMP_MS)
    far_ms = max(10 * 60_000, int(core.settings.lease_seconds * 2000))
    due = core.store.executions.due(again_ms=_AGAIN_MS, far_ms=far_ms)
    living = core.store.registry.nodes() if due else {}
    for execution_id, node in due:
        if node in living or (living and not node):  # else its queue would only grow
            core.hints.advance(execution_id, node)
        elif living and watched >= core.settings.node_lost_seconds * 1000:
            _lose(core, execution_id, node)
    jobs.disband(core)
    core.store.minutes.note(core.store.registry.now_ms())
    expired = schedules.go_on(core) + deletion.go_on(core) + _let_go(core, jumped)
    counters.add("knify_sweeps")
    counters.add("knify_swept", len(due))
    if due:
        log.info("swept: %d due executions", len(due))
    return len(due) + expired


def _let_go(core: Core, jumped: int) -> int:
    """What is old goes, but not by a clock that jumped a moment ago: deletion is for good."""
    now = core.store.registry.now_ms()
    if core.store.registry.keeps_all():  # a backup reads what its records name
        return retention.tidy(core, now, expire=False)
    if 0 <= jumped < _MENDED_MS:
        if jumped == 0:
            log.error("Redis's clock jumped to %s: nothing expires for an hour", clock.rfc3339(now))
        return retention.tidy(core, now, expire=False)
    expired = core.store.sandboxes.expired(now)
    for sandbox_id in expired:
        retired = core.store.sandboxes.retire(sandbox_id, expired=True)
        if retired.node:
            core.hints.remove(sandbox_id, retired.node)
    if expired:
        log.info("swept: %d expired sandboxes", len(expired))
    _delete_objects(core, now)
    return len(expired) + retention.tidy(core, now)


def _delete_objects(core: Core, now: int) -> None:
    """Archives that were replaced, given up, or belonged to deleted sandboxes."""
    if now - core.store.registry.rolled_back_at() < core.settings.orphan_hours * _HOUR_MS:
        return  # Redis was put back: what it takes for old may be the only copy
    for key in core.store.sandboxes.old_objects(now):
        if not core.store.sandboxes.is_old(key, later_ms=_HOUR_MS):
            continue
        try:
            core.objects.delete(key)
        except errors.ObjectStoreError as failed:
            log.warning("%s stays for now: %s", key, failed)
            return
        core.store.sandboxes.forget_object(key)


def _lose(core: Core, execution_id: str, node: str) -> None:
    """Its sandbox lives on a node that says nothing: end it, if that has lasted long enough.

    Only while another node lives and Redis itself was there all that time.
    """
    seconds = core.settings.node_lost_seconds
    reason = f"node {node} has not been heard of for {seconds / 60:g} minutes"
    used = core.store.usages.of(execution_id)
    usage = used.shown() if used.calls else None
    told = {"usage": usage, "cost_usd": used.cost_usd}
    final = jobs.final_entry("failed", clock.now_ms(), error=reason, **told)
    verdict, hints = core.store.executions.lose(
        execution_id, node, int(seconds * 1000), reason, final, usage
    )
    if verdict == "lost":
        log.error("%s: %s", execution_id, reason)
        counters.add("knify_executions_lost")
        jobs.hint_all(core, hints)
