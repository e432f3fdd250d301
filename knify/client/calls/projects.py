"""Jobs of projects: defined once, run on a schedule or when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from knify.client import answers, projectrecords
from knify.client.calls import base
from knify.client.calls.base import Call

#: The key's own tenant, whatever its name is.
WORKSPACE = "-"


def projects(*, workspace: str = WORKSPACE) -> Call[list[dict[str, Any]]]:
    """The projects of a workspace, which is the key's tenant."""
    path = base.path("v1", "workspaces", workspace, "projects")
    return base.get(path, answers.rows_in("projects"))


def project_jobs(
    project: str,
    *,
    tags: Sequence[str] = (),
    name: str | None = None,
    page: int | None = None,
    limit: int | None = None,
    workspace: str = WORKSPACE,
) -> Call[list[projectrecords.ProjectJob]]:
    """A project's jobs that have all the tags, newest first: 100, or one page of `limit`.

    `name`: the one of this name, or none.
    """
    parse = answers.many(projectrecords.ProjectJob)
    wanted = {"tags": ",".join(tags) or None, "name": name, "page": page, "limit": limit}
    return base.get(_path(workspace, project), parse, **wanted)


def project_job(
    project: str, job_id: str, *, workspace: str = WORKSPACE
) -> Call[projectrecords.ProjectJob]:
    """One job, and when its next runs come."""
    parse = answers.data(projectrecords.ProjectJob)
    return base.get(_path(workspace, project, job_id), parse)


def create_project_job(
    project: str,
    body: Mapping[str, Any],
    *,
    workspace: str = WORKSPACE,
    idempotency_key: str | None = None,
) -> Call[projectrecords.ProjectJob]:
    """Define a job: `name`, `command` or `spec`, `schedule` and others, as docs/api.md has them."""
    parse = answers.data(projectrecords.ProjectJob)
    return base.create(_path(workspace, project), parse, body, idempotency_key)


def change_project_job(
    project: str, job_id: str, changes: Mapping[str, Any], *, workspace: str = WORKSPACE
) -> Call[projectrecords.ProjectJob]:
    """Change some fields; None takes one back. The next run is made by them."""
    parse = answers.data(projectrecords.ProjectJob)
    path = _path(workspace, project, job_id)
    return Call("PATCH", path, parse, body=dict(changes), harmless=True)


def delete_project_job(project: str, job_id: str, *, workspace: str = WORKSPACE) -> Call[None]:
    """Delete a job with all of its runs; those that go on are cancelled."""
    return base.delete(_path(workspace, project, job_id), base.nothing)


def project_job_status(
    project: str, job_id: str, *, workspace: str = WORKSPACE
) -> Call[dict[str, Any]]:
    """The newest run, counts by status, when the next run comes, and what was skipped."""
    return base.get(_path(workspace, project, job_id, "status"), answers.data_object)


def trigger_run(
    project: str,
    job_id: str,
    *,
    env: Mapping[str, str] | None = None,
    command: str | Sequence[str] | None = None,
    args: Sequence[str] | None = None,
    workspace: str = WORKSPACE,
    idempotency_key: str | None = None,
) -> Call[projectrecords.Run]:
    """Run a job now, perhaps with more variables, another command, or arguments behind it."""
    body: dict[str, Any] = {"env": dict(env) if env else None, "args": list(args) if args else None}
    body["command"] = command if command is None or isinstance(command, str) else list(command)
    path = _path(workspace, project, job_id, "runs")
    return base.create(path, answers.data(projectrecords.Run), body, idempotency_key)


def runs(
    project: str,
    job_id: str,
    *,
    page: int | None = None,
    limit: int | None = None,
    workspace: str = WORKSPACE,
) -> Call[list[projectrecords.Run]]:
    """A job's runs, newest first: 100, or one page of `limit`."""
    path = _path(workspace, project, job_id, "runs")
    return base.get(path, answers.many(projectrecords.Run), page=page, limit=limit)


def run_of(
    project: str, job_id: str, run_id: str, *, workspace: str = WORKSPACE
) -> Call[projectrecords.Run]:
    """One run as it is now."""
    path = _path(workspace, project, job_id, "runs", run_id)
    return base.get(path, answers.data(projectrecords.Run))


def cancel_run(
    project: str, job_id: str, run_id: str, *, workspace: str = WORKSPACE
) -> Call[projectrecords.Run]:
    """Stop a run. Raises Conflict when it has ended."""
    path = _path(workspace, project, job_id, "runs", run_id, "cancel")
    return Call("POST", path, answers.data(projectrecords.Run))


def run_logs(
    project: str,
    job_id: str,
    run_id: str | None = None,
    *,
    since: str | None = None,
    start: str | None = None,
    end: str | None = None,
    limit: int | None = None,
    filter: str | None = None,
    workspace: str = WORKSPACE,
) -> Call[list[projectrecords.RunLine]]:
    """What one run printed, or all of a job's within a window of time: the newest lines."""
    run = () if run_id is None else ("runs", run_id)
    path = _path(workspace, project, job_id, *run, "logs")
    parse = answers.many(projectrecords.RunLine)
    return base.get(path, parse, since=since, start=start, end=end, limit=limit, filter=filter)


def run_metrics(
    project: str,
    job_id: str,
    *,
    names: Sequence[str] = (),
    since: str | None = None,
    start: str | None = None,
    end: str | None = None,
    workspace: str = WORKSPACE,
) -> Call[dict[str, Any]]:
    """CPU and memory of a job's runs over time, by name: `cpu_usage`, `memory_usage`."""
    path = _path(workspace, project, job_id, "metrics")
    wanted = {"names": ",".join(names) or None, "since": since, "start": start, "end": end}
    return base.get(path, answers.data_object, **wanted)


def _path(workspace: str, project: str, *words: str) -> str:
    return base.path("v1", "workspaces", workspace, "projects", project, "jobs", *words)
