"""The keeper of one node's idle sandboxes: it stops hot ones, archives old ones, removes leftovers.

An archive is made while the sandbox stays usable: packing only reads. It becomes the sandbox by
one script, unless a turn came meanwhile; only after that container and volumes are removed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import redis

from knify import conflicts, errors, holds, leases, model
from knify.core import Core
from knify.lifecycle import SandboxState
from knify.sandbox import template
from knify.services import jobs
from knify.store.replies import Claim
from knify.turn import Bridge

log = logging.getLogger(__name__)

_LIMIT_SECONDS = 3600.0  # an archive that takes longer is given up
_OVERHEAD = 1024**3  # bytes that many small files may take in an archive beside their content
_CHUNK_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # a turn that came ends the packing so soon
_AGAIN_SECONDS = 600.0  # an archive that failed is tried again after this
_LONGEST_WAIT = 10.0
_AT_ONCE = 20  # sandboxes in one round
_HOUR_MS = 3_600_000


class Keeper:
    """What is done to sandboxes that no turn uses. Safe to use from all threads."""

    def __init__(self, core: Core, bridge: Bridge, held: leases.Leases) -> None:
        self.cooling = threading.Event()  # look at the hot ones now
        self.archiving = threading.Event()  # look at the paused ones now
        self.holds = holds.Holds(core.store.sandboxes, held.owner)
        self._core = core
        self._store = core.store.sandboxes
        self._bridge = bridge
        self._owner = held.owner
        self._node = held.owner.node
        self._tight = False  # somebody waits for a slot
        self._room = 0  # sandboxes for which Podman had no room
        self._later: dict[str, float] = {}  # failed archives: when to try again

    # Making way for a turn

    def clear(self, claim: Claim) -> bool:
        """Whether a refused claim is worth repeating, what stood in its way being gone.

        Raises SandboxError.
        """
        if claim.verdict == "leftover":
            return self.remove(claim.sandbox)
        return self.holds.end(claim.sandbox, claim.other, claim.verdict == "stale")

    def make_room(self) -> None:
        """Podman takes no more containers: archive the oldest idle sandbox."""
        self._room += 1
        self.archiving.set()

    def give_memory(self) -> None:
        """Others wait: the memory of one hot sandbox is given back."""
        self._tight = True
        self.cooling.set()

    # Removing

    def remove(self, sandbox_id: str) -> bool:
        """Remove what this node has of a sandbox that does not live here; False when it does."""
        return self._held(sandbox_id, "remove", lambda: self._call_remove(sandbox_id))

    def _call_remove(self, sandbox_id: str) -> None:
        self._bridge.call(self._bridge.driver.remove(sandbox_id), holds.CALL_SECONDS)
        log.info("%s removed", sandbox_id)

    # Stopping hot ones

    def cool_due(self) -> float:
        """Stop those whose time is over or that are too many; seconds until the next one's end."""
        now, found = self._core.store.registry.now_ms(), self._store.hot(self._node)
        beyond = max(len(found) - self._core.settings.hot, int(self._tight))
        self._tight = False
        for n, (sandbox_id, until) in enumerate(found):
            if n < beyond or until <= now:
                self.cool(sandbox_id)
        left = [until - now for _, until in found if until > now]
        return min(_LONGEST_WAIT, min(left, default=_LONGEST_WAIT * 1000) / 1000)

    def cool_all(self, seconds: float) -> None:
        """Stop every hot one, as far as that is done within `seconds`."""
        end = time.monotonic() + seconds
        try:
            for sandbox_id, _ in self._store.hot(self._node):
                if time.monotonic() < end:
                    self.cool(sandbox_id)
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("hot sandboxes stay frozen for now: %s", failed)

    def cool(self, sandbox_id: str) -> bool:
        """Stop an idle or unknown sandbox's container; False when a turn uses it."""
        return self._held(sandbox_id, "stop", lambda: self._call_stop(sandbox_id))

    def _call_stop(self, sandbox_id: str) -> None:
        name = template.container_name(sandbox_id)
        self._bridge.call(self._bridge.driver.stop(name), holds.CALL_SECONDS)

    def _held(self, sandbox_id: str, purpose: str, work: Callable[[], object]) -> bool:
        turn = self.holds.during(sandbox_id, purpose, work)
        if turn:
            jobs.hint_all(self._core, [turn])
        return turn is not None

    # Archiving

    def archive_due(self) -> float:
        """Archive what has been idle for long, or is too much, or must go; seconds to wait."""
        chosen = self._chosen()
        for sandbox_id in chosen[:_AT_ONCE]:
            try:
                if self.archive(sandbox_id) and self._room:
                    self._room -= 1
            except (errors.KnifyError, OSError) as failed:
                log.warning("%s is not archived: %s", sandbox_id, failed)
                self._later[sandbox_id] = time.monotonic() + _AGAIN_SECONDS
        return 0.0 if len(chosen) > _AT_ONCE else _LONGEST_WAIT

    def _chosen(self) -> list[str]:
        settings, now = self._core.settings, self._core.store.registry.now_ms()
        paused, count = self._store.paused(self._node), self._store.paused_count(self._node)
        draining = self._node in self._core.store.registry.draining()
        beyond = count if draining else max(count - settings.paused, self._room)
        idle = now - settings.archive_hours * _HOUR_MS if settings.archive_hours else 0.0
        self._room = min(self._room, count)  # nothing to archive: the turn waits for another's end
        self._later = {k: v for k, v in self._later.items() if v > time.monotonic()}
        wanted = [i for n, (i, since) in enumerate(paused) if n < beyond or since <= idle]
        return [sandbox_id for sandbox_id in wanted if sandbox_id not in self._later]

    def archive(self, sandbox_id: str) -> bool:
        """Move an idle sandbox to the object store; False when it is in use after all.

        Raises SandboxError, ObjectStoreError, TooLarge; the sandbox is then as it was.
        """
        found = self._store.find(sandbox_id)
        if found is None or found.state is not SandboxState.PAUSED:
            return False
        if found.hot_until and not self.cool(sandbox_id):
            return False
        verdict, key = self._begin(sandbox_id)
        if verdict != "begun":
            return False
        try:
            stored = self._core.sealed.put(key, self._pack(found, key))
            done = self._store.commit_archive(
                sandbox_id, node=self._node, key=key, size=stored.size, sha256=stored.sha256
            )
        except Exception as failed:
            self._store.abort_archive(sandbox_id, key)
            if isinstance(failed, conflicts.SandboxBusy):
                return False
            raise
        if not done:
            self._store.abort_archive(sandbox_id, key)
            return False
        log.info("%s archived: %d bytes in %s", sandbox_id, stored.size, key)
        self._remove_quietly(sandbox_id)
        return True

    def _begin(self, sandbox_id: str) -> tuple[str, str]:
        verdict, other = self._ask(sandbox_id, "")
        if verdict == "held" and leases.is_dead(other, self._owner):
            verdict, other = self._ask(sandbox_id, other)
        return verdict, other

    def _ask(self, sandbox_id: str, dead: str) -> tuple[str, str]:
        owner, limit = str(self._owner), int(_LIMIT_SECONDS * 1000)
        return self._store.begin_archive(
            sandbox_id, node=self._node, owner=owner, limit_ms=limit, dead=dead
        )

    def _pack(self, sandbox: model.Sandbox, key: str) -> Iterator[bytes]:
        """The sandbox's tar, out of the driver's loop. SandboxBusy as soon as a turn came."""
        chunks = self._bridge.driver.pack(sandbox.id)
        looked, left = time.monotonic(), 2 * sandbox.resources.disk + _OVERHEAD
        try:
            while chunk := self._bridge.call(_next(chunks), _CHUNK_SECONDS):
                left -= len(chunk)
                if left < 0:  # holes in files, made to fill the store
                    raise errors.TooLarge("its archive would be far larger than its disk limit")
                yield chunk
                if time.monotonic() > looked + _LOOK_SECONDS:
                    looked, now = time.monotonic(), self._store.find(sandbox.id)
                    if now is None or now.archiving != key:
                        raise conflicts.SandboxBusy("a turn came while it was archived")
        finally:
            self._bridge.call(_close(chunks), _CHUNK_SECONDS)

    def _remove_quietly(self, sandbox_id: str) -> None:
        """It is in the node's list of removals, so a failure costs time only."""
        try:
            self.remove(sandbox_id)
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("%s is not removed yet: %s", sandbox_id, failed)


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks, b"")


async def _close(chunks: AsyncIterator[bytes]) -> None:
    close = getattr(chunks, "aclose", None)
    if close is not None:
        await close()
