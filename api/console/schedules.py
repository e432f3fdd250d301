"""Schedules: jobs of projects, when they are due, what their runs came to."""

from __future__ import annotations

from typing import Any, Final

import flask

from api import aside, context
from api.console import blueprint, calendar, schedulelist
from api.projects import view
from knify import cron, lifecycle
from knify.definitions import Definition
from knify.services import schedules

RECENT: Final = 10  # runs on a schedule's first page
RUNS: Final = 50  # on one of all of them


@blueprint.page("/schedules")
def get_schedules() -> flask.Response:
    """The list, or for a script just its table."""
    asked = schedulelist.read(flask.request.args)
    rows = schedulelist.find(context.core(), context.tenant(), asked)
    template = "schedules_table.html" if blueprint.wants_part() else "schedules.html"
    return blueprint.render(template, asked=asked, rows=rows, **words())


@blueprint.page("/schedules/<project>/<definition_id>")
def get_schedule(project: str, definition_id: str) -> flask.Response:
    """One of them: its calendar, its newest runs, and what it is."""
    core, d = context.core(), find(project, definition_id)
    now = core.store.registry.now_ms()
    wanted = flask.request.args.get("month", "")
    month = calendar.month(core, d, wanted, now, aside=aside.run)
    names, total = core.store.runs.page(d.id, offset=0, limit=RECENT)
    return show(
        "schedule.html",
        d,
        month=month,
        runs=core.store.listing.records(names),
        total=total,
        counts=view.status(d, None, core.store.runs.counts(d.id))["counts"],
        upcoming=[d.score(at) for at in aside.run(lambda: d.upcoming(view.UPCOMING))],
    )


@blueprint.page("/schedules/<project>/<definition_id>/runs")
def get_schedule_runs(project: str, definition_id: str) -> flask.Response:
    """All of its runs, newest first."""
    core, d = context.core(), find(project, definition_id)
    page = schedulelist.read(flask.request.args).page
    names, total = core.store.runs.page(d.id, offset=(page - 1) * RUNS, limit=RUNS)
    pages = max(1, -(-total // RUNS))
    runs = core.store.listing.records(names)
    template = "schedule_runs_table.html" if blueprint.wants_part() else "schedule_runs.html"
    return show(template, d, runs=runs, total=total, page=page, pages=pages)


@blueprint.page("/schedules/<project>/<definition_id>/pause", needs="write", methods=["POST"])
def post_schedule_pause(project: str, definition_id: str) -> flask.Response:
    """Nothing is due until it is resumed; or it is resumed."""
    pauses = flask.request.form.get("suspended") == "true"
    body = {"suspended": pauses}
    d = schedules.change(
        context.core(), context.tenant(), project, definition_id, body, aside=aside.run
    )
    said = "Paused: nothing is due until you resume it." if pauses else "Resumed."
    return blueprint.go(schedulelist.href(d), said)


@blueprint.page("/schedules/<project>/<definition_id>/delete", needs="write", methods=["POST"])
def post_schedule_delete(project: str, definition_id: str) -> flask.Response:
    """It goes, with all of its runs."""
    d = find(project, definition_id)
    schedules.delete(context.core(), d.tenant, d.project, d.id, aside=aside.run)
    return blueprint.go("/console/schedules", f"{d.name} is deleted, with its runs.")


@blueprint.page(
    "/schedules/<project>/<definition_id>/runs/<run_id>/cancel", needs="write", methods=["POST"]
)
def post_schedule_run_cancel(project: str, definition_id: str, run_id: str) -> flask.Response:
    """Ask a run to end, or give up its retries."""
    d = find(project, definition_id)
    schedules.cancel(context.core(), d, run_id)
    return blueprint.go(schedulelist.href(d, "runs"), "The run is told to end.")


def find(project: str, definition_id: str) -> Definition:
    """The one that is asked for. NotFound, also of another tenant's."""
    return context.core().store.definitions.get(context.tenant(), project, definition_id)


def show(template: str, d: Definition, status: int = 200, /, **more: Any) -> flask.Response:
    """A page of one schedule."""
    return blueprint.render(template, status, d=d, **words(), **more)


def words() -> dict[str, Any]:
    """What all templates of schedules need."""
    return {
        "href": schedulelist.href,
        "sentence": _sentence,
        "run_status": lambda x: view.STATUS[x.state],
        "terminal": lifecycle.TERMINAL,
        "limit": schedulelist.LIMIT,
    }


def _sentence(d: Definition) -> str:
    if d.schedule is None:
        return "Only when somebody asks"
    return d.words or cron.sentence(d.schedule)
