"""What models cost, as the operator says it (`KNIFY_PRICES_FILE`, YAML or JSON).

    claude-sonnet-4-5*: {input: 3, cached: 0.3, written: 3.75, output: 15}
    local-*: {input: 0, output: 0}

US dollars for a million tokens. `*` stands for any letters; a name itself counts before patterns,
of which the longest counts. `cached` and `written` cost as much as `input` where they are missing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from knify import errors, tables
from knify.gateway.tokens import Tokens

NANO: Final = 10**9  # of a dollar: whole numbers add up exactly
_MILLION: Final = 10**6
_FIELDS: Final = ("input", "cached", "written", "output")


@dataclass(frozen=True, slots=True)
class Price:
    """Of one model, in dollars for a million tokens."""

    input: float
    cached: float
    written: float
    output: float

    def nano_usd(self, tokens: Tokens) -> int:
        """What they cost."""
        fresh = max(tokens.input - tokens.cached - tokens.written, 0)
        dollars = (
            fresh * self.input
            + tokens.cached * self.cached
            + tokens.written * self.written
            + tokens.output * self.output
        ) / _MILLION
        return round(dollars * NANO)


@dataclass(frozen=True, slots=True)
class Prices:
    """All that have one."""

    by_name: Mapping[str, Price]

    def of(self, model: str | None) -> Price | None:
        """None for a model without a price."""
        if model is None:
            return None
        if model in self.by_name:
            return self.by_name[model]
        fits = [name for name in self.by_name if fnmatch.fnmatchcase(model, name)]
        return self.by_name[max(fits, key=len)] if fits else None


def load(path: Path | None) -> Prices:
    """The operator's table; ConfigError says what is wrong with it."""
    if path is None:
        return Prices({})
    found = tables.read(path, _wrong)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise _wrong("must be a table of models")
    return Prices({name: _price(name, row) for name, row in found.items()})


def _price(name: str, row: Any) -> Price:
    if not isinstance(row, dict) or not {"input", "output"} <= set(row) <= set(_FIELDS):
        raise _wrong(f"{name} must have input and output, and may have cached and written")
    for field, value in row.items():
        if type(value) not in (int, float) or not 0 <= value <= _MILLION:
            raise _wrong(f"{name}: {field} must be dollars for a million tokens")
    values = {"cached": row["input"], "written": row["input"]} | row
    return Price(*(float(values[field]) for field in _FIELDS))


def _wrong(why: str) -> errors.ConfigError:
    return errors.ConfigError(f"KNIFY_PRICES_FILE {why}")
