"""The shape of answers about projects, their jobs and runs."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields, validate

from api.projects import view
from knify import definitions


class Skip(ma.Schema):
    """When a due time last made no run, and why."""

    at = fields.DateTime(required=True)
    reason = fields.String(required=True)


class ProjectJob(ma.Schema):
    """A job of a project."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    workspace_id = fields.String(required=True)
    project_id = fields.String(required=True)
    image = fields.String(allow_none=True)
    command = fields.Raw(metadata={"description": "text or a list, as it was written"})
    env = fields.Dict()
    spec = fields.Dict(metadata={"description": "the whole of what a run does"})
    schedule = fields.String(allow_none=True)
    schedule_description = fields.String(allow_none=True)
    timezone = fields.String()
    next_runs = fields.List(fields.DateTime())
    tags = fields.List(fields.String())
    concurrency_policy = fields.String(validate=validate.OneOf(definitions.POLICIES))
    catch_up = fields.String(validate=validate.OneOf(definitions.CATCH_UPS))
    starting_deadline_seconds = fields.Integer(allow_none=True)
    suspended = fields.Boolean()
    jitter_seconds = fields.Integer()
    retries = fields.Integer()
    retry_backoff_seconds = fields.Integer()
    keep_succeeded = fields.Integer(allow_none=True)
    keep_failed = fields.Integer(allow_none=True)
    last_skip = fields.Nested(Skip, allow_none=True)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()


class Run(ma.Schema):
    """One run of a job."""

    id = fields.String(required=True)
    job_id = fields.String(required=True)
    name = fields.String(allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(view.STATUSES))
    state = fields.String(metadata={"description": "of the execution, in more words"})
    trigger = fields.String(validate=validate.OneOf(["manual", "schedule", "retry"]))
    scheduled_at = fields.DateTime(allow_none=True)
    attempt = fields.Integer()
    retry_of = fields.String(allow_none=True)
    created_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    completed_at = fields.DateTime(allow_none=True)
    duration_seconds = fields.Float(allow_none=True)
    exit_code = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    sandbox_id = fields.String(allow_none=True)


class Counts(ma.Schema):
    """How many runs there are."""

    pending = fields.Integer(required=True)
    running = fields.Integer(required=True)
    succeeded = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    cancelled = fields.Integer(required=True)
    total = fields.Integer(required=True)


class JobStatus(ma.Schema):
    """How a job is doing."""

    job_id = fields.String(required=True)
    last_run = fields.Nested(Run, allow_none=True)
    counts = fields.Nested(Counts, required=True)
    schedule = fields.String(allow_none=True)
    timezone = fields.String()
    suspended = fields.Boolean()
    next_run_at = fields.DateTime(allow_none=True)
    last_skip = fields.Nested(Skip, allow_none=True)


class Project(ma.Schema):
    """A project: there as long as it has jobs."""

    id = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    jobs = fields.Integer(required=True)


class _Answer(ma.Schema):
    message = fields.String(required=True)
    status = fields.Integer(required=True, metadata={"description": "the HTTP status"})


class Pages(ma.Schema):
    """Which part of a list this is."""

    page = fields.Integer(required=True)
    limit = fields.Integer(required=True)
    total = fields.Integer(required=True)
    pages = fields.Integer(required=True)


class ProjectsAnswer(_Answer):
    """A list of projects."""

    data = fields.List(fields.Nested(Project), required=True)


class JobAnswer(_Answer):
    """A job."""

    data = fields.Nested(ProjectJob, required=True)


class JobsAnswer(_Answer):
    """A list of jobs."""

    data = fields.List(fields.Nested(ProjectJob), required=True)
    pagination = fields.Nested(Pages, required=True)


class RunAnswer(_Answer):
    """A run."""

    data = fields.Nested(Run, required=True)


class RunsAnswer(_Answer):
    """A list of runs."""

    data = fields.List(fields.Nested(Run), required=True)
    pagination = fields.Nested(Pages, required=True)


class StatusAnswer(_Answer):
    """A job's status."""

    data = fields.Nested(JobStatus, required=True)


class LogLine(ma.Schema):
    """One line that a run printed."""

    ts = fields.DateTime(required=True)
    run_id = fields.String(required=True)
    stream = fields.String(required=True, validate=validate.OneOf(["stdout", "stderr"]))
    line = fields.String(required=True)


class LogsAnswer(_Answer):
    """The newest lines of a window, in the order of time."""

    data = fields.List(fields.Nested(LogLine), required=True)
    next_end = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "when there is more: the `end` of a window with what is older"},
    )


class Series(ma.Schema):
    """Values over time."""

    metric = fields.Dict(required=True, metadata={"description": "of what they are"})
    values = fields.List(
        fields.List(fields.Raw()),
        required=True,
        metadata={"description": "pairs: seconds since the epoch, and the value as text"},
    )


class Metric(ma.Schema):
    """One metric's series, or why there are none."""

    status = fields.String(required=True, validate=validate.OneOf(["success", "error"]))
    data = fields.List(fields.Nested(Series))
    error = fields.String()


class MetricsAnswer(_Answer):
    """Each metric by its name."""

    data = fields.Dict(keys=fields.String(), values=fields.Nested(Metric), required=True)


class DeletedAnswer(_Answer):
    """Nothing is left of it."""

    data = fields.Raw(allow_none=True, required=True)
