"""What a node's gateway has open, and what users said of a running job's network."""

from __future__ import annotations

import json
from typing import Any

from knify.store import keys
from knify.store.redis import Client, Scripts


class Doors:
    """The gateway's part of the store."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def keep(self, node: str, execution_id: str, door: dict[str, Any]) -> None:
        """Remember it for the next gateway of this node."""
        self._client.hset(keys.doors(node), execution_id, json.dumps(door))

    def drop(self, node: str, execution_id: str) -> None:
        """It is closed."""
        self._client.hdel(keys.doors(node), execution_id)

    def kept(self, node: str) -> dict[str, dict[str, Any]]:
        """By execution."""
        found = self._client.hgetall(keys.doors(node))
        return {name: dict(json.loads(text)) for name, text in found.items()}

    def network(self, execution_id: str) -> dict[str, Any]:
        """Fields of the policy that a user changed meanwhile."""
        text = self._client.hget(keys.execution(execution_id), "network")
        if not text:
            return {}
        return {n: tuple(v) if isinstance(v, list) else v for n, v in json.loads(text).items()}

    def has_ended(self, execution_id: str) -> bool:
        """Whether it is terminal, or gone."""
        state, ended = self._client.hmget(keys.execution(execution_id), "state", "completed_at")
        return state is None or ended is not None

    def change(
        self, sandbox_id: str, network: dict[str, Any], detail: str
    ) -> tuple[str, str | None]:
        """Change what the sandbox's running job may reach.

        ('changed', its id), ('idle', None): no job runs there; ('closed', its id): it was started
        without a gateway.
        """
        verdict, *rest = self._scripts.call(
            "set_network", sandbox_id, json.dumps(network, separators=(",", ":")), detail
        )
        return verdict, rest[0] if rest else None
