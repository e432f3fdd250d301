"""A tenant's schedules through all of its projects, by pages, with each one's newest run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from api.console import forms
from api.projects import schemas
from knify import model
from knify.core import Core
from knify.definitions import Definition

LIMIT: Final = 30
PROJECTS: Final = 500  # through which one list looks
_TAG: Final = re.compile(schemas.TAG)


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of the list."""

    project: str = ""
    tag: str = ""
    page: int = 1

    def url(self, **changes: str | int) -> str:
        """The list that is asked for the same but for these."""
        now = {"project": self.project, "tag": self.tag} | changes
        kept = {name: value for name, value in now.items() if value}
        return "/console/schedules" + (f"?{urlencode(kept)}" if kept else "")

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.project or self.tag)


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of the list."""

    definitions: list[Definition]  # by project, the oldest first; in it the newest first
    last: Mapping[str, model.Execution]  # the newest run of each that has one
    total: int
    projects: list[str]  # all that there are
    looked: int  # through how many of them

    @property
    def pages(self) -> int:
        """How many there are."""
        return max(1, -(-self.total // LIMIT))


def read(query: Mapping[str, str]) -> Asked:
    """From the query of the address; what makes no sense is left out."""
    tag = query.get("tag", "").strip()
    return Asked(
        project=query.get("project", "")[:200],
        tag=tag if _TAG.fullmatch(tag) else "",
        page=forms.page_of(query),
    )


def find(core: Core, tenant: str, asked: Asked) -> Rows:
    """The page that is asked for."""
    counts = {name: n for name, _, n in core.store.definitions.projects(tenant)}
    wanted = [name for name in counts if asked.project in ("", name)][:PROJECTS]
    found, total = _through(core, tenant, asked, {name: counts[name] for name in wanted})
    newest = core.store.runs.newest([d.id for d in found])
    known = {x.id: x for x in core.store.listing.records(list(newest.values()))}
    last = {name: known[run] for name, run in newest.items() if run in known}
    return Rows(found, last, total, list(counts), len(wanted))


def href(d: Definition, *more: str) -> str:
    """Where a schedule's page is, or one below it."""
    parts = ("", "console", "schedules", d.project, d.id, *more)
    return "/".join(quote(part, safe="") for part in parts)


def _through(
    core: Core, tenant: str, asked: Asked, projects: Mapping[str, int]
) -> tuple[list[Definition], int]:
    """Projects in their order. Without a tag, only those are read that the page lies in."""
    tags = [asked.tag] if asked.tag else []
    skip, found, total = (asked.page - 1) * LIMIT, list[Definition](), 0
    for name, size in projects.items():
        want = LIMIT - len(found)
        if tags or (want and total + size > skip):
            offset = max(0, skip - total)
            some, size = core.store.definitions.page(
                tenant, name, tags=tags, offset=offset, limit=max(want, 1)
            )
            found += some[:want]
        total += size
    return found, total
