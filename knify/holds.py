"""Holds: what is done to a container outside a turn, while no turn may begin there.

Podman knows no fences. Who stops or removes an idle sandbox's container first takes a hold in
Redis, which keeps its turns away; who finds one whose process is dead, or whose time is over,
makes sure of that process (`leases.Owner.kill`) before the hold is ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import redis

from knify import errors, leases
from knify.store.sandboxes import Sandboxes

log = logging.getLogger(__name__)

CALL_SECONDS = 30.0  # that Podman may take for what is done
_HOLD_MS = 60_000
_DONE = {"stop": "stopped", "remove": "removed"}


class Holds:
    """The holds of one process on its node's containers."""

    def __init__(self, sandboxes: Sandboxes, owner: leases.Owner) -> None:
        self._store = sandboxes
        self._owner = owner
        self._owed: dict[str, str] = {}  # what Redis could not be told when it was done

    def during(self, sandbox_id: str, purpose: str, work: Callable[[], object]) -> str | None:
        """Do the work; the turn that may go on now or '', None when it was not allowed.

        `purpose` is stop or remove. What `work` raises passes through.
        """
        self._settle(sandbox_id)
        verdict, other = self._take(sandbox_id, purpose)
        if verdict in ("kept", "stale") and self.end(sandbox_id, other, verdict == "stale"):
            verdict, _ = self._take(sandbox_id, purpose)
        if verdict != "held":
            return None
        try:
            work()
        except errors.SandboxTimeout:
            # Podman may still be at it, but we are not: nobody has to kill us for that.
            self._end(sandbox_id, str(self._owner), "left")
            raise
        except Exception:
            self._end(sandbox_id, str(self._owner), "")
            raise
        return self._end(sandbox_id, str(self._owner), _DONE[purpose])

    def end(self, sandbox_id: str, other: str, is_over: bool) -> bool:
        """End another process's hold, if that process is dead or can be made so.

        SandboxError when its time is over and it does not die.
        """
        if self._settle(sandbox_id):
            return True
        try:
            holder = leases.Owner.parse(other)
        except ValueError:
            return False
        if is_over:
            holder.kill(self._owner)
        elif not holder.is_dead(self._owner):
            return False
        log.warning("%s: the hold of %s is ended", sandbox_id, other)
        self._end(sandbox_id, other, "")
        return True

    def _take(self, sandbox_id: str, purpose: str) -> tuple[str, str]:
        owner, node = str(self._owner), self._owner.node
        return self._store.hold(sandbox_id, node=node, owner=owner, ms=_HOLD_MS, purpose=purpose)

    def _settle(self, sandbox_id: str) -> bool:
        """Say now what could not be said: else our own hold lasts its time, and turns wait."""
        done = self._owed.get(sandbox_id)
        if done is None:
            return False
        self._end(sandbox_id, str(self._owner), done)
        return True

    def _end(self, sandbox_id: str, owner: str, done: str) -> str:
        try:
            turn = self._store.unhold(sandbox_id, node=self._owner.node, owner=owner, done=done)
        except redis.RedisError:
            if owner == str(self._owner):
                self._owed[sandbox_id] = done
            raise
        self._owed.pop(sandbox_id, None)
        return turn
