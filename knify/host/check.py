"""A line of `knify doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "failure"]

SETUP: Final = "run `make setup` as root"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `knify doctor`."""

    name: str
    level: Level
    message: str  # what was found, and what it means when it is not good
    cure: str = ""  # one command or one sentence; empty when all is well
