"""What people do to a job from its page: go on with it, cancel it, clean up, delete it."""

from __future__ import annotations

import flask

from api import aside, context, strict
from api.console import blueprint, forms, joblines, jobpage, jobwords, shown
from api.jobs import schemas
from knify import errors, kinds
from knify.services import deletion, history, jobs


@blueprint.page("/jobs/<job_id>/continue", needs="write", methods=["POST"])
def post_continue(job_id: str) -> flask.Response:
    """The next turn of the job's sandbox."""
    core, x = context.core(), joblines.find(job_id)
    form = flask.request.form
    text, job_type = form.get("text", ""), form.get("job_type", x.spec.job_type)
    typed = {"text": text, "job_type": job_type}
    if not text.strip():
        return jobpage.show(x, 400, problem="Say what is to be done next.", **typed)
    if job_type not in kinds.JOB_TYPES:
        return jobpage.show(x, 400, problem="There is no such type.", **typed)
    x = history.whole(core, x, aside=aside.reader(x.tenant))
    wanted = jobwords.request_of_turn(x, job_type, text)
    try:
        body = strict.load(schemas.NewJob(), {"spec": wanted})
        accepted = jobs.continue_(core, x.tenant, x.id, jobs.Submission(body["spec"]))
    except (
        errors.BadRequest, errors.Conflict, errors.SandboxExpired, errors.InsufficientResources
    ) as refused:  # fmt: skip
        return jobpage.show(x, 400, problem=forms.sentence(refused.message), **typed)
    return blueprint.go(f"/console/jobs/{accepted.answer.id}")


@blueprint.page("/jobs/<job_id>/cancel", needs="write", methods=["POST"])
def post_cancel(job_id: str) -> flask.Response:
    """Ask for its cancellation."""
    x = jobs.cancel(context.core(), context.tenant(), job_id, "cancelled in the console")
    is_over = x.completed_at is not None
    return _back(job_id, "Cancelled." if is_over else "It is being cancelled.")


@blueprint.page("/jobs/<job_id>/cleanup", needs="write", methods=["POST"])
def post_cleanup(job_id: str) -> flask.Response:
    """Delete its sandbox; with `force` also when jobs of it run or wait."""
    force = flask.request.form.get("force") == "true"
    try:
        jobs.clean_up(context.core(), context.tenant(), job_id, force=force)
    except errors.Conflict as busy:
        return _back(job_id, forms.sentence(busy.message))
    return _back(job_id, "Its sandbox is deleted." if not force else "Its sandbox goes now.")


@blueprint.page("/jobs/<job_id>/delete", needs="write", methods=["POST"])
def post_delete(job_id: str) -> flask.Response:
    """Delete it with all that it left."""
    title = shown.title(joblines.find(job_id))
    deletion.delete(context.core(), context.tenant(), job_id, aside=aside.run)
    return blueprint.go("/console/jobs", f"“{title}” is deleted.")


def _back(job_id: str, notice: str) -> flask.Response:
    return blueprint.go(f"/console/jobs/{job_id}", notice)
