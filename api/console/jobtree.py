"""The jobs of a sandbox, in the order in which each goes on from another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from knify import model

DEEPEST: Final = 6  # steps to the right: there is no more room on a phone


@dataclass(frozen=True, slots=True)
class Place:
    """A job, and where in the tree it stands."""

    job: model.Execution
    depth: int  # how far to the right: a chain goes straight down, its side branches do not
    is_branch: bool  # another job goes on from the same one


def arrange(jobs: Sequence[model.Execution]) -> list[Place]:
    """Each behind the one that it continues; those that continue none that is here are roots."""
    here = {x.id for x in jobs}
    children: defaultdict[str | None, list[model.Execution]] = defaultdict(list)
    for x in sorted(jobs, key=lambda x: (x.created_at, x.id)):
        children[x.parent_id if x.parent_id in here else None].append(x)
    return list(_walk(children))


def _walk(children: dict[str | None, list[model.Execution]]) -> Iterator[Place]:
    """Without recursion: a chain may have thousands."""
    waiting = [Place(x, 0, is_branch=False) for x in reversed(children.get(None, []))]
    while waiting:
        place = waiting.pop()
        yield place
        after = children.get(place.job.id)
        if after is None:
            continue
        is_branch = len(after) > 1
        depth = min(DEEPEST, place.depth + is_branch)
        # The newest branch goes on in its line, as the sandbox did.
        depths = [depth] * (len(after) - 1) + [place.depth]
        waiting += [
            Place(x, deep, is_branch) for x, deep in reversed(list(zip(after, depths, strict=True)))
        ]
