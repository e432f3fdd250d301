"""What a list of jobs is asked for: the filters and the words of its search box.

A search is words: `team=infra` compares metadata, `job_…` is a job's id, and any other word must
stand in a job's name or in the beginning of what it was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from api.console import forms, shown
from api.jobs import view
from knify import model
from knify.core import Core
from knify.lifecycle import State
from knify.services import jobs
from knify.store import admission

LIMIT: Final = 30
#: Of how many of the newest jobs the names and prompts are searched: there is no index of them.
SEARCHED: Final = 1_000
_AT_ONCE: Final = 100
#: The tabs: what they are called, and the statuses that they show.
TABS: Final[dict[str, tuple[str, ...]]] = {
    "all": (),
    "active": ("pending", "running"),
    "completed": ("completed",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of the list."""

    tab: str = "all"
    job_type: str = ""
    words: str = ""  # as they stand in the search box
    page: int = 1

    def url(self, **changes: Any) -> str:
        """The list that is asked for the same but for these."""
        now = {"tab": self.tab, "type": self.job_type, "q": self.words} | changes
        kept = {name: value for name, value in now.items() if value and value != "all"}
        return "/console/jobs" + (f"?{urlencode(kept)}" if kept else "")

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves anything out."""
        return self.tab != "all" or bool(self.job_type or self.words)

    @property
    def metadata(self) -> dict[str, str]:
        """The words that compare metadata; at most as many as a search may have."""
        return forms.comparisons(self.words)

    @property
    def texts(self) -> list[str]:
        """The words that are looked for, in lower case."""
        return [word.lower() for word in self.words.split() if "=" not in word]


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of the list."""

    executions: list[model.Execution]
    total: int
    page: int = 1
    is_estimate: bool = False
    searched: int | None = None  # of how many jobs texts were looked for
    waiting: Mapping[str, admission.Waiting] = field(default_factory=dict)

    @property
    def pages(self) -> int:
        """How many there are."""
        return max(1, -(-self.total // LIMIT))


def read(query: Mapping[str, str]) -> Asked:
    """From the query of the address; what makes no sense is left out."""
    tab = query.get("tab", "all")
    job_type = query.get("type", "")
    return Asked(
        tab=tab if tab in TABS else "all",
        job_type=job_type if job_type in shown.TYPES else "",
        words=query.get("q", "").strip()[:200],
        page=forms.page_of(query),
    )


def find(core: Core, tenant: str, asked: Asked) -> Rows:
    """The page that is asked for, its jobs newest first."""
    found = _searched(core, tenant, asked) if asked.texts else _listed(core, tenant, asked)
    waiting = jobs.waiting(core, found.executions)
    return Rows(
        found.executions, found.total, asked.page, found.is_estimate, found.searched, waiting
    )


def _filters(asked: Asked) -> dict[str, Any]:
    states = [s for status in TABS[asked.tab] for s in view.STATES_OF[status]]
    return {
        "states": list[State](states),
        "job_type": asked.job_type or None,
        "metadata": asked.metadata,
    }


def _listed(core: Core, tenant: str, asked: Asked) -> Rows:
    offset = (asked.page - 1) * LIMIT
    page = core.store.listing.page(tenant, **_filters(asked), offset=offset, limit=LIMIT)
    return Rows(page.executions, page.total, is_estimate=page.total_is_estimate)


def _searched(core: Core, tenant: str, asked: Asked) -> Rows:
    """Of the newest ones, those that hold all the words."""
    hits: list[model.Execution] = []
    looked, before = 0, None
    while looked < SEARCHED:
        page = core.store.listing.page(tenant, **_filters(asked), before=before, limit=_AT_ONCE)
        looked += len(page.executions)
        hits += [x for x in page.executions if _holds(x, asked.texts)]
        before = page.next
        if before is None:
            break
    start = (asked.page - 1) * LIMIT
    return Rows(hits[start : start + LIMIT], len(hits), searched=looked)


def _holds(x: model.Execution, texts: list[str]) -> bool:
    asked = " ".join(str(part) for part in (x.id, x.task_id or "", x.name or "", x.request))
    return all(text in asked.lower() for text in texts)
