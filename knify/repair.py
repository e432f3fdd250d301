"""Repair of one node: what Podman has is held against Redis, both ways, and only what is ours.

Containers without a turn are stopped: their slot is somebody else's. What Redis does not know is
quarantined: stopped, noted, and removed after `KNIFY_ORPHAN_HOURS`. What Redis has deleted is
removed. What Redis believes to be here and Podman does not have is marked as lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from knify import clock, model, rescue
from knify.core import Core
from knify.lifecycle import SandboxState
from knify.sandbox import base
from knify.store.sandboxes import Orphan

log = logging.getLogger(__name__)

_YOUNG_MS = 60_000  # a container that was just made may get its turn in this moment
_HOUR_MS = 3_600_000
_IDLE = (SandboxState.PAUSED, SandboxState.ACTIVE)
_GONE = "its node has neither container nor volumes of it any more"


@dataclass(slots=True)
class Wrong:
    """What one look found."""

    stop: list[str] = field(
        default_factory=list
    )  # whose container is to be stopped, if no turn came
    remove: list[str] = field(default_factory=list)  # sandboxes that Redis has deleted
    unknown: dict[str, list[base.Listed]] = field(default_factory=dict)  # by sandbox


class Repair:
    """The repair of one node. Nothing here touches Podman: the caller lists, stops and removes."""

    def __init__(self, core: Core, node: str, orphan_hours: float) -> None:
        self._core = core
        self._store = core.store
        self._node = node
        self._orphan_ms = int(orphan_hours * _HOUR_MS)
        self._cursor = 0

    def expected(self) -> list[model.Sandbox]:
        """Some of the idle sandboxes that must be here; asked before Podman is looked at."""
        self._cursor, found = self._store.sandboxes.on_node(self._node, self._cursor)
        return [sandbox for sandbox in found if sandbox.state in _IDLE]

    def lose(self, expected: Iterable[model.Sandbox], found: list[base.Listed]) -> list[str]:
        """Mark as lost what was expected and is not there, and is no forgotten archive either.

        ObjectStoreError: nothing is lost before the store was asked.
        """
        here = {row.sandbox_id for row in found}
        missed = [sandbox for sandbox in expected if sandbox.id not in here]
        missed = [s for s in missed if not rescue.rescue(self._core, s)]
        lost = [s.id for s in missed if self._store.sandboxes.lose(self._node, s, _GONE)]
        for sandbox_id in lost:
            log.error("%s is lost: %s", sandbox_id, _GONE)
        return lost

    def adopt(self, found: list[base.Listed]) -> list[str]:
        """Records that lost their node to a rollback of Redis get it back."""
        adopted = self._store.sandboxes.adopt(self._node, sorted({r.sandbox_id for r in found}))
        for sandbox_id in adopted:
            log.warning("%s lives here, which Redis had forgotten", sandbox_id)
        return adopted

    def wrong(self, found: list[base.Listed]) -> Wrong:
        """What is to be done about containers and volumes."""
        answer = Wrong()
        known = self._records(found)
        for row in found:
            sandbox = known.get(row.sandbox_id)
            running = row.kind == "container" and row.running
            if sandbox is None:
                answer.unknown.setdefault(row.sandbox_id, []).append(row)
                if running:
                    answer.stop.append(row.sandbox_id)
            elif sandbox.state is SandboxState.DELETED:
                if row.sandbox_id not in answer.remove:
                    answer.remove.append(row.sandbox_id)
            elif (
                running
                and _is_old(row)
                and not _is_hot(sandbox)
                and not self._store.sandboxes.turns(row.sandbox_id)
            ):
                log.warning("%s runs without a job: stopped", row.sandbox_id)
                answer.stop.append(row.sandbox_id)
        return answer

    def _records(self, found: list[base.Listed]) -> dict[str, model.Sandbox]:
        ids = sorted({row.sandbox_id for row in found})
        return {sandbox.id: sandbox for sandbox in self._store.sandboxes.get_many(ids)}

    def orphans(self, unknown: dict[str, list[base.Listed]]) -> list[Orphan]:
        """Note what is unknown, forget what is not so any more; those whose time is over."""
        sandboxes, now = self._store.sandboxes, self._store.registry.now_ms()
        noted = {orphan.id: orphan for orphan in sandboxes.orphans(self._node)}
        for sandbox_id, rows in unknown.items():
            if sandbox_id not in noted:
                log.warning("%s is not known to Redis: quarantined", sandbox_id)
                sandboxes.note_orphan(_orphan(sandbox_id, self._node, rows, now))
        for orphan in noted.values():
            if orphan.id not in unknown:
                sandboxes.forget_orphan(orphan)
        # Whoever put back a wrong file puts back the right one within this time.
        settled = self._store.registry.rolled_back_at()
        over = [o for o in noted.values() if o.id in unknown]
        return [o for o in over if now - max(o.found_at, settled) > self._orphan_ms]


def _orphan(sandbox_id: str, node: str, rows: list[base.Listed], now: int) -> Orphan:
    kinds = tuple(sorted({row.kind for row in rows}))
    return Orphan(sandbox_id, node, kinds, min(row.created_at for row in rows), now)


def _is_hot(sandbox: model.Sandbox) -> bool:
    """Left frozen for its next turn; when its time is over the keeper stops it, else we do."""
    return (sandbox.hot_until or 0) > clock.now_ms() - _YOUNG_MS


def _is_old(row: base.Listed) -> bool:
    return clock.now_ms() - row.created_at > _YOUNG_MS
