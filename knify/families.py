"""Tasks and their children: what a parent's manifest says of those that name it, and the bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from knify import fields

MOST: Final = 1_000  # children of one task that have not ended
DEPTH: Final = 4  # generations below a task
FOLDER: Final = "children"  # below which a parent's list shows their files


@dataclass(frozen=True, slots=True)
class Children:
    """How the tasks that name this one as their parent go along with it."""

    max_concurrent: int | None = (
        None  # of them at work at a time; None: as many as there is room for
    )
    wait_for_children: bool = False  # it ends behind the last of them
    aggregate_artifacts: bool = False  # its list of artifacts has theirs, too


def of(request: Mapping[str, Any]) -> Children:
    """As a checked request says; without a word, children are tasks like others."""
    return Children(**request.get("children", {}))


def check(written: Mapping[str, Any]) -> None:
    """BadRequest that names the field; the types are right already."""
    most = written.get("max_concurrent")
    if most is not None and not 1 <= most <= MOST:
        words = (
            f"max_concurrent is between 1 and {MOST}: leave it out for as many as there is room for"
        )
        raise fields.bad("children.max_concurrent", words)
