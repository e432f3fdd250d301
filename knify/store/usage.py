"""What executions took of models: counted by the gateway, read when their turns end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knify.store import keys
from knify.store.redis import Client, Scripts, pairs


@dataclass(frozen=True, slots=True)
class Usage:
    """All model calls of one execution together."""

    calls: int = 0
    input: int = 0  # tokens; the next two are part of it
    cached: int = 0
    written: int = 0
    output: int = 0
    nano_usd: int = 0  # of those calls whose model has a price
    unpriced: int = 0  # calls whose model has none

    @property
    def tokens(self) -> int:
        """What counts in `max_tokens`."""
        return self.input + self.output

    @property
    def cost_usd(self) -> float | None:
        """None when nothing had a price."""
        return self.nano_usd / 10**9 if self.calls > self.unpriced else None

    def shown(self) -> dict[str, int]:
        """As a job has it."""
        return {
            "input_tokens": self.input,
            "cached_tokens": self.cached,
            "output_tokens": self.output,
            "total_tokens": self.tokens,
            "model_calls": self.calls,
        }


class Usages:
    """The hashes that hold it."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def add(self, execution_id: str, gateway: str, n: int, more: Mapping[str, int]) -> Usage | None:
        """Add to its totals; what they are then, None when it has ended (nothing is added).

        `gateway` and `n` name this addition: sent twice, it counts once.
        """
        words = [word for pair in more.items() for word in pair]
        found = self._scripts.call("add_usage", execution_id, gateway, n, *words)
        return _usage(pairs(found)) if found else None

    def of(self, execution_id: str) -> Usage:
        """Its totals; nothing for one that asked no model, or has ended."""
        return _usage(self._client.hgetall(keys.usage(execution_id)))


def _usage(fields: Mapping[str, str]) -> Usage:
    return Usage(**{name: int(fields.get(name, 0)) for name in Usage.__slots__})
