"""Sandboxes in Redis. Their state moves with the executions that use them (`executions.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from knify import model
from knify.store import codec, keys
from knify.store.redis import Client, Scripts


@dataclass(frozen=True, slots=True)
class Retired:
    """The answer to a wish to delete a sandbox."""

    verdict: str  # deleted | again | busy | doomed (goes after its last turn) | missing
    turns: tuple[str, ...] = ()  # the executions that keep it busy
    node: str = ""  # whose workers have to remove the container


class Sandboxes:
    """All that can be done to sandboxes as a whole."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def find(self, sandbox_id: str) -> model.Sandbox | None:
        """The record, or None."""
        fields = self._client.hgetall(keys.sandbox(sandbox_id))
        return codec.sandbox(fields) if fields else None

    def turns(self, sandbox_id: str) -> list[str]:
        """Its executions that are not terminal, in order."""
        return list(self._client.lrange(keys.turns(sandbox_id), 0, -1))

    def retire(self, sandbox_id: str, *, expired: bool = False, force: bool = False) -> Retired:
        """Mark as deleted; its container goes as soon as the node's workers come to it.

        With turns that run or wait it is `busy`, or with `force` doomed: no turn may be added,
        and the last one's end deletes it.
        """
        how = "expired" if expired else "force" if force else ""
        verdict, *rest = self._scripts.call("retire_sandbox", sandbox_id, how)
        if verdict in ("busy", "doomed"):
            return Retired(verdict, turns=tuple(rest))
        return Retired(verdict, node=rest[0] if rest else "")

    def expired(self, now_ms: int, *, most: int = 100) -> list[str]:
        """Idle sandboxes whose time is over."""
        return list(self._client.zrangebyscore(keys.EXPIRY, "-inf", now_ms, start=0, num=most))

    def removals(self, node: str) -> list[str]:
        """Deleted sandboxes whose container and volumes the node still has to remove."""
        return sorted(self._client.smembers(keys.removals(node)))

    def removed(self, node: str, sandbox_id: str) -> None:
        """Container and volumes are gone."""
        self._client.srem(keys.removals(node), sandbox_id)
