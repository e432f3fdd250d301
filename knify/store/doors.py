"""What a node's gateway has open, and what users said of a running job's network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from knify.lifecycle import State
from knify.store import keys
from knify.store.redis import Client, Scripts


@dataclass(frozen=True, slots=True)
class Look:
    """What a door has to know of its execution."""

    network: dict[str, Any]  # fields of the policy that a user changed meanwhile
    is_past: bool  # its command has ended, or it is gone: nothing may be let out


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
        """By execution; empty for one that cannot be read."""
        found = self._client.hgetall(keys.doors(node))
        return {name: _read(text) for name, text in found.items()}

    def is_kept(self, node: str, execution_id: str) -> bool:
        """Whether it was opened and nobody has closed it."""
        return bool(self._client.hexists(keys.doors(node), execution_id))

    def look(self, execution_id: str) -> Look:
        """How things stand."""
        names = ("network", "state", "completed_at")
        text, state, ended = self._client.hmget(keys.execution(execution_id), *names)
        network = json.loads(text) if text else {}
        return Look(
            {n: tuple(v) if isinstance(v, list) else v for n, v in network.items()},
            state in (None, State.COMPLETING) or ended is not None,
        )

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


def _read(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return {}
