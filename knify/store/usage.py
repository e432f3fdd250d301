"""What executions took of models: counted by the gateway, read when their turns end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from knify.store import executionkeys
from knify.store.redis import Client, Scripts, pairs


@dataclass(frozen=True, slots=True)
class Usage:
    """All model calls of one execution together, or a difference between two such sums."""

    calls: int = 0
    input: int = 0  # tokens; the next two are part of it
    cached: int = 0
    written: int = 0
    output: int = 0
    nano_usd: int = 0  # of those calls whose model has a price
    unpriced: int = 0  # calls whose model has none

    def __add__(self, other: Self) -> Self:
        """Of both."""
        return type(self)(*(a + b for a, b in zip(self._values, other._values, strict=True)))

    def __sub__(self, other: Self) -> Self:
        """What is to be added to `other` for this one."""
        return type(self)(*(a - b for a, b in zip(self._values, other._values, strict=True)))

    @property
    def _values(self) -> tuple[int, ...]:
        return tuple(asdict(self).values())

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


@dataclass(frozen=True, slots=True)
class Totals:
    """What Redis said of an execution."""

    used: Usage
    has_ended: bool  # its own record was corrected


class Usages:
    """The hashes that hold it."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def add(self, execution_id: str, gateway: str, n: int, more: Usage) -> Totals | None:
        """Add to its totals; what they are then. None when there is nothing to be added to.

        `gateway` and `n` name this addition: sent twice, it counts once. With nothing in `more`
        the totals are only read.
        """
        words = [word for pair in asdict(more).items() if pair[1] for word in pair]
        found = self._scripts.call("add_usage", execution_id, gateway, n, *words)
        return Totals(_usage(pairs(found[1:])), found[0] == "late") if found else None

    def of(self, execution_id: str) -> Usage:
        """Its totals; nothing for one that asked no model, or ended an hour ago."""
        return _usage(self._client.hgetall(executionkeys.usage(execution_id)))


def _usage(fields: Mapping[str, str]) -> Usage:
    return Usage(**{name: int(fields.get(name, 0)) for name in Usage.__slots__})
