"""`knify schedules …`: jobs that are defined once, and their runs."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from knify import errors
from knify.cli import entry, jobs, show

if TYPE_CHECKING:
    from knify.client import Client

F = TypeVar("F", bound=Callable[..., Any])

_OWN: Final = "-"  # the server's word for the key's own tenant
_ID: Final = re.compile(r"jobdef_[0-9A-Za-z]{26}")
_job = click.argument("job", metavar="JOB")

_FACTS = (
    "id", "name", "project_id", "schedule", "schedule_description", "timezone", "command", "image",
    "tags", "concurrency_policy", "catch_up", "suspended", "retries", "created_at",
)  # fmt: skip


def _where(function: F) -> F:
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
@_where
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
@_job
@_where
@jobs.json_option
def show_(job: str, project: str, workspace: str, json_: bool) -> None:
    """Show a job, how its runs ended, and when the next ones come."""
    client = entry.client()
    job_id = _id(client, job, project, workspace)
    found = client.project_job(project, job_id, workspace=workspace).raw
    status = client.project_job_status(project, job_id, workspace=workspace)
    if json_:
        return show.as_json(found | {"status": status})
    counts = status.get("counts") or {}
    ended = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    more = {"runs": ended, "next_runs": "\n".join(found.get("next_runs") or ())}
    return show.facts({name: found.get(name) for name in _FACTS} | more)


class _Defines(click.Command):
    """Its command's options are not its own: `create NAME ls -l`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What is no option of ours is the command's, unless it looks like a slip."""
        known = [name for param in self.params for name in param.opts if name.startswith("--")]
        for word in args if "--" not in args else ():
            name = word.partition("=")[0]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            if name.startswith("--") and near and name not in known:
                cure = f"did you mean {near[0]}? Write -- before a COMMAND that has it"
                raise click.UsageError(f"No such option: {name}: {cure}", ctx)
        return super().parse_args(ctx, args)


@schedules.command(
    cls=_Defines,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("name")
@click.argument("command", nargs=-1, required=True)
@click.option("--cron", "schedule", help="Five fields, such as '30 4 * * 1-5'. Default: on demand.")
@click.option("--timezone", help="Of the schedule, such as Europe/Berlin. Default: UTC.")
@click.option("--image")
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="Repeat it for several.")
@click.option("--tag", "tags", multiple=True, help="Repeat it for several.")
@click.option("--concurrency", type=click.Choice(["allow", "forbid", "replace"]))
@click.option("--catch-up", type=click.Choice(["none", "latest", "all"]))
@click.option("--retries", type=click.IntRange(0, 10))
@_where
@jobs.json_option
def create(
    name: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    tags: tuple[str, ...],
    concurrency: str | None,
    project: str,
    workspace: str,
    json_: bool,
    **given: Any,
) -> None:
    """Define a job. One word of COMMAND is run by a shell, several as they are."""
    body: dict[str, Any] = {
        "name": name,
        "command": command[0] if len(command) == 1 else list(command),
    }
    body |= {"env": _pairs(env), "tags": list(tags) or None, "concurrency_policy": concurrency}
    made = entry.client().create_project_job(project, body | given, workspace=workspace).raw
    if json_:
        return show.as_json(made)
    return show.facts({n: made.get(n) for n in ("id", "name", "schedule_description", "next_runs")})


@schedules.command()
@_job
@click.option("--env", "env", multiple=True, metavar="NAME=VALUE", help="Repeat it for several.")
@click.option("--args", "words", help="Arguments behind the command, quoted as for a shell.")
@_where
@jobs.json_option
def trigger(
    job: str, env: tuple[str, ...], words: str | None, project: str, workspace: str, json_: bool
) -> None:
    """Run a job now."""
    args, client = shlex.split(words) if words else None, entry.client()
    job_id = _id(client, job, project, workspace)
    run = client.trigger_run(project, job_id, env=_pairs(env), args=args, workspace=workspace)
    jobs.done(run.raw, run.id, json_=json_)


@schedules.command()
@_job
@_where
@jobs.json_option
def pause(job: str, project: str, workspace: str, json_: bool) -> None:
    """Nothing is due until it is resumed."""
    _suspend(project, workspace, job, json_, suspended=True)


@schedules.command()
@_job
@_where
@jobs.json_option
def resume(job: str, project: str, workspace: str, json_: bool) -> None:
    """Go on with the next due time."""
    _suspend(project, workspace, job, json_, suspended=False)


@schedules.command()
@_job
@_where
@jobs.yes_option
@jobs.json_option
def delete(job: str, project: str, workspace: str, yes: bool, json_: bool) -> None:
    """Delete a job with all of its runs; those that go on are cancelled."""
    jobs.confirm(f"Delete {job} with all of its runs for good?", yes=yes)
    client = entry.client()
    job_id = _id(client, job, project, workspace)
    client.delete_project_job(project, job_id, workspace=workspace)
    jobs.done({"job_id": job_id, "deleted": True}, f"{job} is gone", json_=json_)


@schedules.command()
@_job
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@_where
@jobs.json_option
def runs(job: str, limit: int, project: str, workspace: str, json_: bool) -> None:
    """List a job's runs, newest first."""
    client = entry.client()
    job_id = _id(client, job, project, workspace)
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
@_job
@click.argument("run_id", required=False)
@click.option("--since", help="A time, or how long ago: 15m, 2h.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@click.option("--filter", "text", help="Text that a line holds, or /a regular expression/.")
@_where
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
    job_id = _id(client, job, project, workspace)
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
    job_id = _id(client, job, project, workspace)
    changed = client.change_project_job(
        project, job_id, {"suspended": suspended}, workspace=workspace
    )
    jobs.done(changed.raw, f"{job} is {'paused' if suspended else 'resumed'}", json_=json_)


def _id(client: Client, job: str, project: str, workspace: str) -> str:
    """Of a job that is named by its id or by its name."""
    if _ID.fullmatch(job):
        return job
    for one in client.project_jobs(project, name=job, workspace=workspace):
        if one.name == job:
            return one.id
    raise errors.NotFound(f"no job {job} in project {project}: see `knify schedules list`")


def _pairs(words: tuple[str, ...]) -> dict[str, str] | None:
    for word in words:
        if "=" not in word:
            raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--env")
    return dict(word.split("=", 1) for word in words) or None
