"""The list of sandboxes: what is kept for later, where, and until when."""

from __future__ import annotations

from typing import Final

import flask

from api import context
from api.console import blueprint, forms
from knify.lifecycle import SandboxState

LIMIT: Final = 30
#: The tabs, and the states that they show; `kept` is all that can be continued, or is in use.
TABS: Final[dict[str, tuple[SandboxState, ...]]] = {
    "kept": (
        SandboxState.CREATING,
        SandboxState.ACTIVE,
        SandboxState.PAUSED,
        SandboxState.ARCHIVED,
        SandboxState.LOST,
    ),
    "active": (SandboxState.CREATING, SandboxState.ACTIVE),
    "paused": (SandboxState.PAUSED,),
    "archived": (SandboxState.ARCHIVED,),
    "lost": (SandboxState.LOST,),
    "deleted": (SandboxState.DELETED,),
}


@blueprint.page("/sandboxes")
def get_sandboxes() -> flask.Response:
    """Those of a tab, newest first; for a script just the table."""
    query, store = flask.request.args, context.core().store
    page, tab = forms.page_of(query), query.get("tab", "kept")
    tab = tab if tab in TABS else "kept"
    found, total = store.sandboxes.page(
        context.tenant(), states=TABS[tab], offset=(page - 1) * LIMIT, limit=LIMIT
    )
    uses = store.lineages.uses([one.id for one in found])
    jobs = {x.id: x for x in store.executions.get_many(use.first for use in uses if use.first)}
    template = "sandboxes_table.html" if blueprint.wants_part() else "sandboxes.html"
    return blueprint.render(
        template,
        page=page,
        pages=max(1, -(-total // LIMIT)),
        rows=[(s, use, jobs.get(use.first or "")) for s, use in zip(found, uses, strict=True)],
        tab=tab,
        tabs=list(TABS),
        total=total,
    )
