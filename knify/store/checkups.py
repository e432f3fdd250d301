"""What `knify doctor` finds on each node, as its worker looked last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from knify.store import keys
from knify.store.redis import Client

KEPT_SECONDS: Final = 3 * 3600  # a node that has not looked for so long is gone


@dataclass(frozen=True, slots=True)
class Checkup:
    """One look."""

    at: int  # ms
    lines: Sequence[Mapping[str, str]]  # name, level (ok | warning | failure), message, cure


class Checkups:
    """The last one of each node."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def note(self, node: str, checkup: Checkup) -> None:
        """It replaces the one before."""
        text = json.dumps({"at": checkup.at, "lines": list(checkup.lines)})
        self._client.set(_key(node), text, ex=KEPT_SECONDS)

    def of(self, nodes: Iterable[str]) -> dict[str, Checkup]:
        """Those of these nodes, as far as there are any."""
        names = list(nodes)
        found = self._client.mget([_key(name) for name in names]) if names else []
        return {
            name: Checkup(**json.loads(text))
            for name, text in zip(names, found, strict=True)
            if text is not None
        }


def _key(node: str) -> str:
    return f"{keys.node(node)}:checkup"
