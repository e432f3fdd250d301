"""`knify schedules …`: jobs that are defined once, and their runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from knify import errors
from knify.cli import entry, jobs, show, words

if TYPE_CHECKING:
    from knify.client import Client

F = TypeVar("F", bound=Callable[..., Any])

_OWN: Final = "-"  # the server's word for the key's own tenant
_ID: Final = re.compile(r"jobdef_[0-9A-Za-z]{26}")
job_argument = click.argument("job", metavar="JOB")

_FACTS = (
    "id", "name", "project_id", "schedule", "schedule_description", "timezone", "command", "image",
    "tags", "concurrency_policy", "catch_up", "suspended", "retries", "created_at",
)  # fmt: skip


def where(function: F) -> F:
    """Options that say where the job is."""
    workspace = click.option(
        "--workspace", metavar="TENANT", envvar="KNIFY_WORKSPACE", default=_OWN,
        help="The tenant's name. Default: the key's own.",
    )  # fmt: skip
    project = click.option(
        "--project", envvar="KNIFY_PROJECT", default="default", show_default=True,
        help="Where the job is.",
    )  # fmt: skip
    return project(workspace(function))


@click.group(cls=entry.Group)
def schedules() -> None:
    """Define jobs that are run on a schedule, or whenever you ask.

    JOB is a job's id, or its name in the project.
    """


@schedules.command("list")
@click.option("--tag", "tags", multiple=True, help="Only those that have it; repeat it for more.")
@where
@jobs.json_option
def list_(tags: tuple[str, ...], project: str, workspace: str, json_: bool) -> None:
    """List a project's jobs, newest first."""
    found = [
        one.raw for one in entry.client().project_jobs(project, tags=tags, workspace=workspace)
    ]
    if json_:
        return show.as_json(found)
    rows = [
        (
            row.get("id"),
            row.get("name"),
            row.get("schedule"),
            "off"
            if row.get("suspended")
            else show.when(next(iter(row.get("next_runs") or ()), None)),
            row.get("schedule_description"),
        )
        for row in found
    ]
    heads = ("JOB", "NAME", "SCHEDULE", "NEXT", "SAYS")
    return show.table(heads, rows, flexible=("SAYS", "NAME"), lesser=("SAYS",))


@schedules.command("show")
@job_argument
@where
@jobs.json_option
def show_(job: str, project: str, workspace: str, json_: bool) -> None:
    """Show a job, how its runs ended, and when the next ones come."""
    client = entry.client()
    job_id = job_id_of(client, job, project, workspace)
    found = client.project_job(project, job_id, workspace=workspace).raw
    status = client.project_job_status(project, job_id, workspace=workspace)
    if json_:
        return show.as_json(found | {"status": status})
    counts = status.get("counts") or {}
    ended = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    more = {"runs": ended, "next_runs": "\n".join(found.get("next_runs") or ())}
    return show.facts({name: found.get(name) for name in _FACTS} | more)


@schedules.command()
@job_argument
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="Repeat it for several.")
@click.option("--args", help="Arguments behind the command, quoted as for a shell.")
@where
@jobs.json_option
def trigger(
    job: str, env: tuple[str, ...], args: str | None, project: str, workspace: str, json_: bool
) -> None:
    """Run a job now."""
    client, more = entry.client(), shlex.split(args) if args else None
    job_id = job_id_of(client, job, project, workspace)
    variables = words.pairs("--env", env) or None
    run = client.trigger_run(project, job_id, env=variables, args=more, workspace=workspace)
    jobs.done(run.raw, run.id, json_=json_)


@schedules.command()
@job_argument
@where
@jobs.json_option
def pause(job: str, project: str, workspace: str, json_: bool) -> None:
    """Nothing is due until it is resumed."""
    _suspend(project, workspace, job, json_, suspended=True)


@schedules.command()
@job_argument
@where
@jobs.json_option
def resume(job: str, project: str, workspace: str, json_: bool) -> None:
    """Go on with the next due time."""
    _suspend(project, workspace, job, json_, suspended=False)


@schedules.command()
@job_argument
@where
@jobs.yes_option
@jobs.json_option
def delete(job: str, project: str, workspace: str, yes: bool, json_: bool) -> None:
    """Delete a job with all of its runs; those that go on are cancelled."""
    jobs.confirm(f"Delete {job} with all of its runs for good?", yes=yes)
    client = entry.client()
    job_id = job_id_of(client, job, project, workspace)
    client.delete_project_job(project, job_id, workspace=workspace)
    jobs.done({"job_id": job_id, "deleted": True}, f"{job} is gone", json_=json_)


@schedules.command()
@job_argument
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@where
@jobs.json_option
def runs(job: str, limit: int, project: str, workspace: str, json_: bool) -> None:
    """List a job's runs, newest first."""
    client = entry.client()
    job_id = job_id_of(client, job, project, workspace)
    found = client.runs(project, job_id, limit=limit, workspace=workspace)
    if json_:
        return show.as_json([one.raw for one in found])
    rows = [
        (one.id, one.status, one.trigger, show.when(one.created_at), one.exit_code, one.error)
        for one in found
    ]
    heads = ("RUN", "STATUS", "TRIGGER", "CREATED", "EXIT", "ERROR")
    return show.table(heads, rows, flexible=("ERROR",), lesser=("EXIT",))


@schedules.command()
@job_argument
@click.argument("run_id", required=False)
@click.option("--since", help="A time, or how long ago: 15m, 2h.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@click.option("--filter", "text", help="Text that a line holds, or /a regular expression/.")
@where
@jobs.json_option
def logs(
    job: str,
    run_id: str | None,
    since: str | None,
    limit: int,
    text: str | None,
    project: str,
    workspace: str,
    json_: bool,
) -> None:
    """Print what a run printed, or all of a job's runs in the last day."""
    client = entry.client()
    job_id = job_id_of(client, job, project, workspace)
    found = client.run_logs(
        project, job_id, run_id, since=since, limit=limit, filter=text, workspace=workspace
    )
    if json_:
        return show.as_json([one.raw for one in found])
    for one in found:
        show.line(one.line if run_id else f"{one.ts} {one.run_id} {one.line}")
    return None


def _suspend(project: str, workspace: str, job: str, json_: bool, *, suspended: bool) -> None:
    client = entry.client()
    job_id = job_id_of(client, job, project, workspace)
    changed = client.change_project_job(
        project, job_id, {"suspended": suspended}, workspace=workspace
    )
    jobs.done(changed.raw, f"{job} is {'paused' if suspended else 'resumed'}", json_=json_)


def job_id_of(client: Client, job: str, project: str, workspace: str) -> str:
    """Of a job that is named by its id or by its name."""
    if _ID.fullmatch(job):
        return job
    for one in client.project_jobs(project, name=job, workspace=workspace):
        if one.name == job:
            return one.id
    raise errors.NotFound(f"no job {job} in project {project}: see `knify schedules list`")
