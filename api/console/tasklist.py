"""Tasks in the console: what came as manifests, with their families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import flask

from api import context
from api.console import asked as joblist
from api.console import blueprint, forms
from api.jobs import view
from api.tasks import view as task_view
from knify import errors, model
from knify.core import Core
from knify.services import tasks

LIMIT: Final = 30


@dataclass(frozen=True, slots=True)
class Asked:
    """The query of the list."""

    tab: str = "all"
    words: str = ""  # as they stand in the search box: labels, or an id
    parent: str = ""
    page: int = 1

    def url(self, **changes: Any) -> str:
        """The list that is asked for the same but for these."""
        now = {"tab": self.tab, "q": self.words, "parent": self.parent} | changes
        kept = {name: value for name, value in now.items() if value and value != "all"}
        return "/console/tasks" + (f"?{urlencode(kept)}" if kept else "")

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves anything out."""
        return self.tab != "all" or bool(self.words or self.parent)

    @property
    def labels(self) -> dict[str, str]:
        """The words that compare labels, at most as many as a search may have."""
        return forms.comparisons(self.words)

    @property
    def id(self) -> str:
        """The one word that compares no label, or nothing."""
        words = [word for word in self.words.split() if "=" not in word]
        return words[0][:128] if len(words) == 1 else ""


@dataclass(frozen=True, slots=True)
class Family:
    """A task's children."""

    count: int
    open: int


@dataclass(frozen=True, slots=True)
class Row:
    """One task of the list."""

    x: model.Execution
    message: str  # what its state means just now
    pace: Mapping[str, Any]
    parent: str | None
    family: Family | None  # None: it has no children

    @property
    def repository(self) -> str:
        """Where its files come from, without what all such places have."""
        found = self.x.request.get("repository")
        if not isinstance(found, dict):
            return ""
        parts = urlsplit(str(found.get("url", "")))
        branch = found.get("branch")
        path = parts.path.removesuffix(".git")
        return f"{parts.netloc}{path}" + (f"@{branch}" if branch else "")


@blueprint.page("/tasks")
def get_tasks() -> flask.Response:
    """The list, or for a script just its table; a task's id leads to its page."""
    core, tenant, asked = context.core(), context.tenant(), read(flask.request.args)
    named = _named(core, tenant, asked.id)
    if named is not None:
        return blueprint.go(f"/console/jobs/{named.id}")
    states = [state for status in joblist.TABS[asked.tab] for state in view.STATES_OF[status]]
    page = core.store.tasks.page(
        tenant,
        states=[state.value for state in states],
        labels=asked.labels,
        parent=asked.parent or None,
        offset=(asked.page - 1) * LIMIT,
        limit=LIMIT,
    )
    return blueprint.render(
        "tasks_table.html" if blueprint.wants_part() else "tasks.html",
        asked=asked,
        tabs=joblist.TABS,
        rows=[] if asked.id else rows(core, page.tasks),
        total=page.total,
        pages=max(1, -(-page.total // LIMIT)),
        is_estimate=page.total_is_estimate,
    )


def read(query: Mapping[str, str]) -> Asked:
    """From the query of the address; what makes no sense is left out."""
    tab = query.get("tab", "all")
    return Asked(
        tab=tab if tab in joblist.TABS else "all",
        words=query.get("q", "").strip()[:200],
        parent=query.get("parent", "").strip()[:128],
        page=forms.page_of(query),
    )


def rows(core: Core, found: list[model.Execution]) -> list[Row]:
    """With what is not in their records."""
    beside = tasks.beside(core, found)
    return [
        Row(
            x,
            task_view.brief(x, beside[x.id])["state_message"],
            task_view.pace(x),
            beside[x.id].parent,
            _family(core, x),
        )
        for x in found
    ]


def _family(core: Core, x: model.Execution) -> Family | None:
    count = core.store.listing.find(x.tenant, parent=x.id, limit=0).total
    return Family(count, core.store.families.count_open(x.id)) if count else None


def _named(core: Core, tenant: str, task_id: str) -> model.Execution | None:
    try:
        return tasks.get(core, tenant, task_id) if task_id else None
    except errors.NotFound:
        return None
