"""Projects: their jobs, on demand or on a schedule, and the runs of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

from api import aside, bodies, context, idempotency, strict
from api.projects import answers, schemas, view
from api.smorest import Blueprint
from knify import clock, errors
from knify.definitions import Definition
from knify.services import history, lines, metrics, schedules

blp = Blueprint("projects", __name__, description="Jobs that are defined once, and their runs")

_JOBS = f"{view.PATH}/<project_id>/jobs"
_JOB = f"{_JOBS}/<job_id>"
_RUNS = f"{_JOB}/runs"
_DAY = 86_400_000  # ms


@blp.route(view.PATH)
@blp.needs("read")
@blp.response(200, answers.ProjectsAnswer)
def list_projects(workspace_id: str) -> flask.typing.ResponseReturnValue:
    """Projects of the workspace, oldest first."""
    found = context.core().store.definitions.projects(_tenant(workspace_id))
    return _answer("List of projects", [view.project(*one) for one in found])


@blp.route(_JOBS)
@blp.needs("read")
@blp.arguments(schemas.Jobs, location="query")
@blp.response(200, answers.JobsAnswer)
def list_project_jobs(
    query: dict[str, Any], workspace_id: str, project_id: str
) -> flask.typing.ResponseReturnValue:
    """A project's jobs, newest first; those that have all of some tags, or the one of a name."""
    page, limit = query["page"], query["limit"]
    found, total = context.core().store.definitions.page(
        _tenant(workspace_id),
        project_id,
        tags=query["tags"],
        name=query.get("name"),
        offset=(page - 1) * limit,
        limit=limit,
    )
    return _list("List of jobs", [view.row(d) for d in found], query, total)


@blp.route(_JOBS, methods=["POST"])
@blp.needs("write")
@idempotency.replays
@blp.arguments(schemas.NewProjectJob)
@blp.response(201, answers.JobAnswer)
def create_project_job(
    body: dict[str, Any], workspace_id: str, project_id: str
) -> flask.typing.ResponseReturnValue:
    """Define a job; with a schedule, it is run whenever that is due."""
    tenant, new = _tenant(workspace_id), idempotency.new_id("jobdef")
    d = schedules.create(context.core(), tenant, project_id, body, id=new, aside=aside.run)
    return _answer("Job created", _shown(d), 201)


@blp.route(_JOB)
@blp.needs("read")
@blp.response(200, answers.JobAnswer)
def get_project_job(
    workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """Show a job: what a run does, and when the next ones come."""
    return _answer("Job detail", _shown(_find(workspace_id, project_id, job_id)))


@blp.route(_JOB, methods=["PATCH"])
@blp.needs("write")
@blp.arguments(schemas.ProjectJobChanges)
@blp.response(200, answers.JobAnswer)
def change_project_job(
    body: dict[str, Any], workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """Change a job; what is left out stays. The next run is made by it."""
    return _change(body, workspace_id, project_id, job_id)


@blp.route(_JOB, methods=["PUT"])
@blp.needs("write")
@blp.arguments(schemas.ProjectJobChanges)
@blp.response(200, answers.JobAnswer)
def put_project_job(
    body: dict[str, Any], workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """The same as PATCH: what is left out stays."""
    return _change(body, workspace_id, project_id, job_id)


@blp.route(_JOB, methods=["DELETE"])
@blp.needs("write")
@blp.response(200, answers.DeletedAnswer)
def delete_project_job(
    workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """Delete a job with its schedule and all of its runs; those that go on are cancelled."""
    tenant = _tenant(workspace_id)
    schedules.delete(context.core(), tenant, project_id, job_id, aside=aside.run)
    return _answer("Deleted", None)


@blp.route(f"{_JOB}/status")
@blp.needs("read")
@blp.response(200, answers.StatusAnswer)
def get_project_job_status(
    workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """Its newest run, how many there are in each state, and when the next one comes."""
    d, store = _find(workspace_id, project_id, job_id), context.core().store
    newest, _ = store.runs.page(d.id, offset=0, limit=1)
    last = next(iter(store.executions.get_many(newest)), None)
    return _answer("Status", view.status(d, last, store.runs.counts(d.id)))


@blp.route(_RUNS)
@blp.needs("read")
@blp.arguments(schemas.Page, location="query")
@blp.response(200, answers.RunsAnswer)
def list_runs(
    query: dict[str, Any], workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """Every run of a job, newest first."""
    d, store = _find(workspace_id, project_id, job_id), context.core().store
    page, limit = query["page"], query["limit"]
    names, total = store.runs.page(d.id, offset=(page - 1) * limit, limit=limit)
    return _list("List of runs", [view.run(x) for x in store.listing.records(names)], query, total)


@blp.route(_RUNS, methods=["POST"])
@blp.needs("write")
@idempotency.replays
@blp.doc(requestBody={"content": {"application/json": {"schema": schemas.NewRun}}})
@blp.response(201, answers.RunAnswer)
def trigger_run(
    workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """Run a job now, perhaps with other variables, another command, or more arguments."""
    overrides = strict.load(schemas.NewRun(), bodies.read_optional())
    d = _find(workspace_id, project_id, job_id)
    x = schedules.trigger(context.core(), d, overrides, id=idempotency.new_id(schedules.PREFIX))
    return _answer("Run triggered", view.run(x), 201)


@blp.route(f"{_RUNS}/<run_id>")
@blp.needs("read")
@blp.response(200, answers.RunAnswer)
def get_run(
    workspace_id: str, project_id: str, job_id: str, run_id: str
) -> flask.typing.ResponseReturnValue:
    """One run, as it is at this moment."""
    core, d = context.core(), _find(workspace_id, project_id, job_id)
    x = history.whole(core, schedules.run(core, d, run_id), aside=aside.reader(d.tenant))
    return _answer("Run detail", view.run(x))


@blp.route(f"{_RUNS}/<run_id>/cancel", methods=["POST"])
@blp.needs("write")
@blp.response(200, answers.RunAnswer)
def cancel_run(
    workspace_id: str, project_id: str, job_id: str, run_id: str
) -> flask.typing.ResponseReturnValue:
    """Stop a run that has not ended: it is told to end, and made to after 30 s."""
    d = _find(workspace_id, project_id, job_id)
    return _answer("Cancelled", view.run(schedules.cancel(context.core(), d, run_id)))


@blp.route(f"{_JOB}/logs")
@blp.needs("read")
@blp.arguments(schemas.Logs, location="query")
@blp.response(200, answers.LogsAnswer)
def get_project_job_logs(
    query: dict[str, Any], workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """What all runs of a job printed within a window of time; of the last day unless said."""
    d, window = _find(workspace_id, project_id, job_id), _window(query, back=_DAY)
    return _lines(lines.across(context.core(), d.id, window, aside=aside.reader(d.tenant)))


@blp.route(f"{_RUNS}/<run_id>/logs")
@blp.needs("read")
@blp.arguments(schemas.Logs, location="query")
@blp.response(200, answers.LogsAnswer)
def get_run_logs(
    query: dict[str, Any], workspace_id: str, project_id: str, job_id: str, run_id: str
) -> flask.typing.ResponseReturnValue:
    """What one run printed, or of that what lies within a window of time."""
    d = _find(workspace_id, project_id, job_id)
    core, window = context.core(), _window(query)
    x = schedules.run(core, d, run_id)
    return _lines(lines.find(core, [x], window, aside=aside.reader(d.tenant)))


@blp.route(f"{_JOB}/metrics")
@blp.needs("read")
@blp.arguments(schemas.Metrics, location="query")
@blp.response(200, answers.MetricsAnswer)
def get_project_job_metrics(
    query: dict[str, Any], workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    """CPU (cores, on average of the runs) and memory (bytes, together) over the last day or so."""
    d, store = _find(workspace_id, project_id, job_id), context.core().store
    start, end = _times(query, _DAY)
    names = store.runs.within(d.id, start, end, metrics.RUNS)
    wanted = dict.fromkeys(query["names"].split(","))
    try:
        found = metrics.series(
            context.core(), store.listing.records(names), start, end, aside=aside.reader(d.tenant)
        )
    except errors.ObjectStoreError as away:
        return _answer("Metrics", {name: view.no_metric(away.message) for name in wanted})
    return _answer("Metrics", {name: view.metric(d.id, name, found) for name in wanted})


def _window(query: dict[str, Any], back: int | None = None) -> lines.Window:
    """`back`: how far it goes back unless that is said, ms; None: to the beginning."""
    start, end = _times(query, back)
    matches = lines.matcher(query["filter"]) if "filter" in query else None
    return lines.Window(start, end, query["limit"], matches)


def _times(query: dict[str, Any], back: int | None) -> tuple[int, int]:
    end = query["end"] if query["end"] is not None else context.core().store.registry.now_ms()
    start = query["start"] if query["start"] is not None else end - back if back else 0
    if start > end:
        raise errors.BadRequest("end: lies before the window's start", detail={"field": "end"})
    return start, end


def _lines(found: lines.Found) -> flask.typing.ResponseReturnValue:
    following = None if found.next_end is None else clock.rfc3339(found.next_end)
    return _answer("Logs", [view.line(one) for one in found.lines], next_end=following)


def _tenant(workspace_id: str) -> str:
    """Only the key's own, also as `-`: any other one might as well not be there."""
    if workspace_id == view.OWN:  # no tenant is named so
        return context.tenant()
    if workspace_id != context.tenant():
        raise errors.NotFound(f"no workspace {workspace_id}")
    return workspace_id


def _shown(d: Definition) -> dict[str, Any]:
    """Its next due times are looked for beside the loop."""
    return aside.run(lambda: view.job(d))


def _find(workspace_id: str, project_id: str, job_id: str) -> Definition:
    return context.core().store.definitions.get(_tenant(workspace_id), project_id, job_id)


def _change(
    body: dict[str, Any], workspace_id: str, project_id: str, job_id: str
) -> flask.typing.ResponseReturnValue:
    tenant = _tenant(workspace_id)
    d = schedules.change(context.core(), tenant, project_id, job_id, body, aside=aside.run)
    return _answer("Job updated", _shown(d))


def _answer(
    message: str, data: Any, status: int = 200, **more: Any
) -> flask.typing.ResponseReturnValue:
    return flask.jsonify({"message": message, "status": status, "data": data} | more), status


def _list(
    message: str, rows: Sequence[dict[str, Any]], query: dict[str, Any], total: int
) -> flask.typing.ResponseReturnValue:
    facts = {"page": query["page"], "limit": query["limit"], "total": total}
    facts["pages"] = -(-total // query["limit"])
    return _answer(message, rows, pagination=facts)
