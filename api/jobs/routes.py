"""Jobs: submit, list, show, continue, cancel, clean up."""

from __future__ import annotations

from typing import Any

import flask

from api import aside, bodies, context, paging, strict
from api.jobs import schemas, view
from api.smorest import Blueprint
from knify import errors, model
from knify.services import artifacts, deletion, history, jobs

blp = Blueprint("jobs", __name__, description="Work, each piece in its own sandbox")


@blp.route("/jobs", methods=["POST"])
@blp.needs("write")
@blp.arguments(schemas.NewJob)
@blp.response(200, schemas.Accepted)
def create_job(body: dict[str, Any]) -> flask.Response:
    """Submit a job."""
    accepted = jobs.submit(context.core(), context.tenant(), _submission(body))
    return _accepted(view.accepted(accepted.answer), accepted.replayed)


@blp.route("/jobs")
@blp.needs("read")
@blp.arguments(schemas.Filters, location="query")
@blp.response(200, schemas.Row(many=True))
def list_jobs(query: dict[str, Any]) -> flask.Response:
    """List jobs, newest first."""
    before = query.pop("before", None)
    asked = paging.window(query.pop("page", None), query.pop("limit", None), first=before is None)
    states = [s for status in query.pop("status", ()) for s in view.STATES_OF[status]]
    page = context.core().store.listing.page(
        context.tenant(), states=states, offset=asked.offset, limit=asked.limit,
        before=_moment(before), **query,
    )  # fmt: skip
    waiting = jobs.waiting(context.core(), page.executions)
    rows = [view.row(x, waiting.get(x.id)) for x in page.executions]
    estimate = page.total_is_estimate
    return paging.respond(rows, page.total, asked, is_estimate=estimate, following=page.next)


@blp.route("/jobs/<job_id>")
@blp.needs("read")
@blp.response(200, schemas.JobDetail)
def get_job(job_id: str) -> flask.Response:
    """Show a job with its history and the names of its files."""
    core = context.core()
    x = core.store.executions.get(job_id, tenant=context.tenant())
    read = aside.reader(x.tenant)
    x = history.whole(core, x, aside=read)
    shown = view.job(x, jobs.waiting(context.core(), [x]).get(x.id))
    events = history.events(core, x.id, aside=read)
    return flask.jsonify(view.detail(shown, events, _files(x), x.image_digest))


@blp.route("/jobs/<job_id>", methods=["DELETE"])
@blp.needs("write")
@blp.response(204)
def delete_job(job_id: str) -> flask.Response:
    """Delete a job with its history, output and files; one that runs is cancelled first."""
    deletion.delete(context.core(), context.tenant(), job_id, aside=aside.run)
    return flask.Response(status=204)


@blp.route("/jobs/<job_id>/continue", methods=["POST"])
@blp.needs("write")
@blp.arguments(schemas.NewJob)
@blp.response(200, schemas.Continued)
def continue_job(body: dict[str, Any], job_id: str) -> flask.Response:
    """Submit a job as the next turn of another one's sandbox."""
    accepted = jobs.continue_(context.core(), context.tenant(), job_id, _submission(body))
    return _accepted(view.continued(accepted.answer), accepted.replayed)


@blp.route("/jobs/<job_id>/cancel", methods=["POST"])
@blp.needs("write")
@blp.doc(requestBody={"content": {"application/json": {"schema": schemas.Cancellation}}})
@blp.response(200, schemas.Accepted)
def cancel_job(job_id: str) -> flask.Response:
    """Ask for a job's cancellation; harmless when it has ended."""
    body = strict.load(schemas.Cancellation(), bodies.read_optional())
    reason = body.get("reason", "cancelled by request")
    x = jobs.cancel(context.core(), context.tenant(), job_id, reason)
    return flask.jsonify({"job_id": x.id, "status": view.STATUS[x.state]})


@blp.route("/jobs/<job_id>/cleanup", methods=["POST"])
@blp.needs("write")
@blp.arguments(schemas.Cleanup, location="query")
@blp.response(200, schemas.CleanedUp)
def clean_up_job(query: dict[str, Any], job_id: str) -> flask.Response:
    """Delete the job's sandbox for good."""
    jobs.clean_up(context.core(), context.tenant(), job_id, force=query["force"])
    return flask.jsonify({"success": True, "message": "Sandbox cleaned up successfully"})


def _moment(before: str | None) -> int | None:
    """From a job's id, or from a page's `X-Next-Before`, which outlives its jobs."""
    if before is None or before.isdecimal():
        return None if before is None else int(before)
    moment = context.core().store.listing.moment(context.tenant(), before)
    if moment is None:
        cure = "go on from the X-Next-Before of a page"
        raise errors.BadRequest(f"no job {before} any more: {cure}", detail={"field": "before"})
    return moment


def _submission(body: dict[str, Any]) -> jobs.Submission:
    key, digest = bodies.idempotency()
    return jobs.Submission(body["spec"], name=body.get("name"), idempotency_key=key, digest=digest)


def _accepted(body: dict[str, Any], replayed: bool) -> flask.Response:
    response = flask.jsonify(body)
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _files(x: model.Execution) -> dict[str, Any]:
    """Names only; a job can be looked at while the object store is away."""
    if x.completed_at is None:
        return {"files": []}
    try:
        return {"files": [a.path for a in artifacts.of(context.core(), x) if not a.withheld]}
    except (errors.ObjectStoreError, errors.ArtifactsExpired) as failed:
        return {"files": [], "error": failed.message}
