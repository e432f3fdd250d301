"""The list of jobs, live: rows change where they are, and what is new waits to be asked for."""

from __future__ import annotations

import re
from typing import Final

import flask

from api import context
from api.console import asked as asked_module
from api.console import blueprint, live, shown
from knify import errors
from knify.store import keys

_IS_ID: Final = re.compile(r"(?:job|run|task)_[0-9a-z]{1,64}")


@blueprint.page("/jobs")
def get_jobs() -> flask.Response:
    """The list, or for a script just its table."""
    core, tenant = context.core(), context.tenant()
    asked = asked_module.read(flask.request.args)
    if _IS_ID.fullmatch(asked.words) and _is_there(asked.words):
        return blueprint.go(f"/console/jobs/{asked.words}")
    rows = asked_module.find(core, tenant, asked)
    template = "jobs_table.html" if blueprint.wants_part() else "jobs.html"
    return blueprint.render(
        template, asked=asked, rows=rows, tabs=asked_module.TABS, types=shown.TYPES
    )


@blueprint.page("/jobs/changes")
def get_changes() -> flask.Response:
    """A word whenever a job of this tenant comes, changes its state or goes."""
    return live.respond(keys.changes(context.tenant()))


def _is_there(execution_id: str) -> bool:
    try:
        context.core().store.executions.get(execution_id, tenant=context.tenant())
    except errors.NotFound:
        return False
    return True
