"""`knify run` and `knify jobs continue`: submit, follow, fetch, and tell by the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knify import spec as spec_module
from knify.cli import entry, follow, jobs, show

if TYPE_CHECKING:
    from knify.client import Client, Downloaded, Job, Submitted

_TYPES = click.Choice(spec_module.available())


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to happen after a job was accepted."""

    live: bool = True
    output: Path | None = None  # None: ./knify-JOB
    download: bool = True
    cleanup: bool = False
    json: bool = False


_SUBMIT = (
    click.option("--type", "job_type", type=_TYPES, help="Default: by the first argument."),
    click.option("--env", "-e", multiple=True, metavar="K=V", help="A variable for the job."),
    click.option("--timeout", help="Such as 90s, 15m or 24h."),
    click.option("--name", help="A name for the job."),
    click.option("--follow/--no-follow", "live", default=True, help="Watch it until its end."),
    click.option("--output", "-o", type=click.Path(path_type=Path), help="Files go here."),
    click.option("--download/--no-download", default=True, help="Fetch its files at its end."),
    click.option("--cleanup", is_flag=True, help="Delete the sandbox at the end."),
    click.option("--json", "json_", is_flag=True, help="Print the job as JSON at its end."),
)


def _submit_options(command: Any) -> Any:
    for option in reversed(_SUBMIT):
        command = option(command)
    return command


@click.command()
@click.argument("what")
@click.option("--workspace", "-w", metavar="DIR|NAME", help="A folder to upload, or its name.")
@click.option("--image", help="A sandbox image instead of the default.")
@click.option("--memory", help="Such as 512M or 8G.")
@click.option("--cpus", type=float, help="A share of cores, such as 0.5 or 4.")
@click.option("--disk", help="What its files may take, such as 1G.")
@_submit_options
def run(
    what: str, workspace: str | None, image: str | None, memory: str | None,
    cpus: float | None, disk: str | None, job_type: str | None,
    env: tuple[str, ...], timeout: str | None, name: str | None, live: bool,
    output: Path | None, download: bool, cleanup: bool, json_: bool,
) -> None:  # fmt: skip
    """Run WHAT in a fresh sandbox and fetch the files that it leaves.

    WHAT is a command, or @FILE.md: a runbook of this machine, or of the workspace.
    The exit code is 0 only if the job completed, 1 if it failed, 2 for wrong usage and 3 if
    there is no server. Ctrl-C leaves the job running.
    """
    _check(live=live, cleanup=cleanup)
    folder = _folder(workspace)
    request = _request(what, job_type, env, timeout, folder, named=bool(workspace))
    limits = {"image": image, "memory": memory, "cpus": cpus, "disk": disk}
    request |= {name: value for name, value in limits.items() if value is not None}
    client = entry.client()
    if workspace:
        request["workspace_path"] = _workspace(client, workspace, folder)
    submitted = client.create_job(request, name)
    attend(client, submitted, request, Wishes(live, output, download, cleanup, json_))


@click.command("continue")
@click.argument("job_id")
@click.argument("what")
@_submit_options
def continue_(
    job_id: str, what: str, job_type: str | None, env: tuple[str, ...], timeout: str | None,
    name: str | None, live: bool, output: Path | None, download: bool, cleanup: bool, json_: bool,
) -> None:  # fmt: skip
    """Run WHAT in the sandbox of an earlier job, with all its files in place."""
    _check(live=live, cleanup=cleanup)
    request = _request(what, job_type, env, timeout, None, named=True)
    client = entry.client()
    submitted = client.continue_job(job_id, request, name)
    attend(client, submitted, request, Wishes(live, output, download, cleanup, json_))


def _check(*, live: bool, cleanup: bool) -> None:
    if cleanup and not live:
        raise click.UsageError("--cleanup waits for the job's end: leave --no-follow out")


def attend(client: Client, submitted: Submitted, request: dict[str, Any], wishes: Wishes) -> None:
    """Follow an accepted job as wished and leave with its exit code."""
    job_id = submitted.job_id
    if not wishes.live:
        _accepted(submitted, wishes)
        return
    show.line(f"job {job_id}", err=wishes.json, bold=True)
    raw = follow.wants_raw(request["job_type"])
    try:
        job = follow.watch(client, job_id, raw=raw, err=wishes.json)
        got = _fetch(client, job, wishes) if wishes.download else []
        if wishes.cleanup:
            client.cleanup(job_id)
    except KeyboardInterrupt:
        click.echo(err=True)
        show.line(f"{job_id} goes on; watch it again with:", err=True)
        show.line(f"  knify jobs logs {job_id} --follow", err=True)
        entry.leave(entry.INTERRUPTED)
    _ended(job, wishes)
    if wishes.json:
        show.as_json(job.raw | {"downloads": [jobs.as_row(file) for file in got]})
    entry.leave(jobs.exit_code(job))


def _accepted(submitted: Submitted, wishes: Wishes) -> None:
    if wishes.json:
        show.as_json(submitted.raw)
        return
    show.line(submitted.job_id)
    show.line(f"watch it with: knify jobs logs {submitted.job_id} --follow", err=True)


def _fetch(client: Client, job: Job, wishes: Wishes) -> list[Downloaded]:
    """The job's files; one with a hostile name or a wrong checksum stops it."""
    folder = wishes.output or jobs.default_folder(job.id)
    got = [client.download(job.id, path, folder) for path in job.files]
    if got:
        jobs.table(((file.path, file.size, file.sha256) for file in got), err=wishes.json)
        show.line(f"{len(got)} files in {folder}", err=wishes.json)
    return got


def _ended(job: Job, wishes: Wishes) -> None:
    good = job.status == "completed"
    code = f" (exit code {job.exit_code})" if job.exit_code else ""
    why = f": {job.error}" if job.error else ""
    mark = "✓" if good else "✗"
    show.line(f"{mark} {job.status}{code}{why}", err=wishes.json, fg="green" if good else "red")


def _request(
    what: str, job_type: str | None, env: Sequence[str], timeout: str | None,
    folder: Path | None, *, named: bool,
) -> dict[str, Any]:  # fmt: skip
    is_file = what.startswith("@") and job_type != "command_task"
    kind = job_type or ("runbook_task" if is_file else "command_task")
    text = _runbook(what[1:], folder, named=named) if is_file else what
    field = "command" if kind == "command_task" else "prompt"
    request: dict[str, Any] = {"job_type": kind, field: text}
    if env:
        request["env"] = _variables(env)
    if timeout:
        request["timeout"] = timeout
    return request


def _runbook(name: str, folder: Path | None, *, named: bool) -> str:
    """`@file` for a runbook in the workspace, or the text of one that lies elsewhere here."""
    path = Path(name)
    if folder is not None and (folder / path).is_file():
        path = folder / path
    if folder is not None and path.is_file() and path.resolve().is_relative_to(folder.resolve()):
        return f"@{path.resolve().relative_to(folder.resolve()).as_posix()}"
    if path.is_file():
        return _text(path)
    if named and folder is None:
        return f"@{name}"
    where = "neither here nor in the workspace" if named else "and no --workspace is given"
    raise click.UsageError(f"there is no runbook {name}, {where}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is no UTF-8 text") from None


def _variables(env: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in env]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise click.UsageError(f"--env wants NAME=VALUE, not {name!r}")
    return {name: value for name, _, value in pairs}


def _folder(workspace: str | None) -> Path | None:
    """The folder that is to be uploaded; None when it is a workspace's name, or none is given."""
    if workspace is None:
        return None
    if Path(workspace).is_dir():
        return Path(workspace)
    name = workspace.removeprefix("/workspaces/")
    if "/" in name or name.startswith((".", "~")):
        raise click.UsageError(f"--workspace: there is no folder {workspace}")
    return None


def _workspace(client: Client, workspace: str, folder: Path | None) -> str:
    """What the job's `workspace_path` is; the version pins just what was uploaded."""
    if folder is None:
        return f"/workspaces/{workspace.removeprefix('/workspaces/')}"
    return client.upload_workspace(folder).pinned
