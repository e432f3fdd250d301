"""`knify run` and `knify jobs continue`: submit, follow, fetch, and tell by the exit code."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knify.cli import complete, entry, files, follow, jobs, request, show, specs, words

if TYPE_CHECKING:
    from knify.client import Client, Downloaded, Job, Submitted


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to happen after a job was accepted."""

    live: bool = True
    output: Path | None = None  # None: ./knify-JOB
    download: bool = True
    cleanup: bool = False
    json: bool = False
    quiet: bool = False


_WORKSPACE = click.option(
    "--workspace",
    "-w",
    metavar="DIR|NAME",
    help="A folder to upload, or its name.",
    shell_complete=complete.folders_and_workspaces,
)
_SUBMIT = (
    specs.TYPE,
    click.option("--from", "from_", metavar="TIME", help="For user_exam: its first moment."),
    click.option("--to", "to_", metavar="TIME", help="For user_exam: its last one."),
    specs.ENV,
    *specs.OF_JOB,
    click.option("--metadata", "-m", multiple=True, metavar="K=V", help="To find the job by."),
    click.option("--priority", type=click.IntRange(-10, 10), help="Higher goes first."),
    click.option("--name", help="A name for the job."),
    click.option("--follow/--no-follow", "live", default=True, help="Watch it until its end."),
    click.option("--output", "-o", type=click.Path(path_type=Path), help="Files go here."),
    click.option("--download/--no-download", default=True, help="Fetch its files at its end."),
    click.option("--cleanup", is_flag=True, help="Delete the sandbox at the end."),
    click.option("--quiet", "-q", is_flag=True, help="Print its output, and its end on stderr."),
    click.option("--json", "json_", is_flag=True, help="Print the job as JSON at its end."),
)


_what = click.argument("what", shell_complete=complete.runbooks)


@click.command()
@_what
@click.argument("more", nargs=-1, metavar="")
@specs.options(_WORKSPACE, *specs.OF_SANDBOX, *_SUBMIT)
@click.option(
    "--continue", "job_id", metavar="JOB", shell_complete=complete.jobs,
    help="In the sandbox of this job, with all its files in place.",
)  # fmt: skip
def run(what: str, more: tuple[str, ...], job_id: str | None, **given: Any) -> None:
    """Run WHAT in a fresh sandbox and fetch the files that it leaves.

    WHAT is a command, or @FILE.md: a runbook of this machine, or of the workspace. With --type it
    is a prompt for that type; for user_exam, the user's id.

    The exit code is 0 if the job completed, 1 if it failed, 5 if it was cancelled; 2 for wrong
    usage, 3 without a server, 4 without a valid key, 6 when the job was refused. Ctrl-C leaves the
    job running.
    """
    if more:
        whole = shlex.join((what, *more))
        raise click.UsageError(f"WHAT is one argument, quote it: {shlex.quote(whole)}")
    if job_id is not None:
        return _continue(job_id, what, given)
    wishes = _wishes(given)
    workspace = given["workspace"]
    folder = request.folder_of(workspace)
    spec = request.spec(what, folder, given, named=bool(workspace))
    client = entry.client()
    if workspace:
        spec["workspace_path"] = request.workspace_path(
            client, workspace, folder, quiet=wishes.quiet
        )
    return attend(client, client.create_job(spec, given["name"]), spec, wishes)


@jobs.jobs.command("continue")
@jobs.job_argument
@_what
@specs.options(*_SUBMIT)
def continue_(job_id: str, what: str, **given: Any) -> None:
    """Run WHAT in the sandbox of an earlier job, with all its files in place.

    Behind an agent's job WHAT is its next prompt; `--type command_task` runs a command there.
    """
    _continue(job_id, what, given)


def _continue(job_id: str, what: str, given: dict[str, Any]) -> None:
    taken = [name for name in ("workspace", "image", "memory", "cpus", "disk") if given.get(name)]
    if taken:
        raise click.UsageError(f"--{taken[0]} belongs to the sandbox's first job: leave it out")
    wishes = _wishes(given)
    client = entry.client()
    if given["job_type"] is None and not what.startswith("@"):
        given["job_type"] = request.agent_of(client, job_id)
    spec = request.spec(what, None, given, named=True)
    attend(client, client.continue_job(job_id, spec, given["name"]), spec, wishes)


def _wishes(given: dict[str, Any]) -> Wishes:
    if given["cleanup"] and not given["live"]:
        raise click.UsageError("--cleanup waits for the job's end: leave --no-follow out")
    return Wishes(
        given["live"], given["output"], given["download"], given["cleanup"], given["json_"],
        given["quiet"],
    )  # fmt: skip


def attend(client: Client, submitted: Submitted, spec: dict[str, Any], wishes: Wishes) -> None:
    """Follow an accepted job as wished and leave with its exit code."""
    job_id = submitted.job_id
    if not wishes.live:
        _accepted(submitted, wishes)
        return
    if not wishes.quiet:
        show.line(f"job {job_id}", err=wishes.json, bold=True)
    raw = follow.wants_raw(spec["job_type"])
    with entry.leaving_it(job_id):
        job = follow.watch(client, job_id, raw=raw, err=wishes.json, quiet=wishes.quiet)
        got = _fetch(client, job, wishes) if wishes.download else []
        if wishes.cleanup:
            client.cleanup(job_id)
    jobs.ending(job, err=wishes.json or wishes.quiet)
    if wishes.cleanup and not wishes.quiet:
        show.line("its sandbox is deleted", err=wishes.json, dim=True)
    if wishes.json:
        show.as_json(job.raw | {"downloads": [files.as_row(file) for file in got]})
    entry.leave(jobs.exit_code(job))


def _accepted(submitted: Submitted, wishes: Wishes) -> None:
    if wishes.json:
        show.as_json(submitted.raw)
        return
    show.line(submitted.job_id)
    show.line(f"watch it with: knify jobs logs {submitted.job_id} --follow", err=True)


def _fetch(client: Client, job: Job, wishes: Wishes) -> list[Downloaded]:
    """The job's files, into a folder of the job's own."""
    folder = wishes.output or files.default_folder(job.id)
    got = files.fetch(client, job.id, job.files, folder)
    if got and not wishes.quiet:
        files.table(((file.path, file.size, file.sha256) for file in got), err=wishes.json)
        show.line(f"{words.count(len(got), 'file')} in {folder}", err=wishes.json)
    return got
