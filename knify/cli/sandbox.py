"""The `sandbox` command: tasks, which are what the Jobs API calls jobs."""

from __future__ import annotations

from pathlib import Path

import click

import knify
from knify.cli import complete, entry, files, jobs, logs, show


@click.group(cls=entry.Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(knify.__version__, prog_name="sandbox")
def cli() -> None:
    """Look at tasks in their sandboxes."""


@cli.group(cls=entry.Group)
def task() -> None:
    """List, follow, cancel tasks and fetch their files.

    Manifests are submitted over HTTP (`POST /api/v1/tasks`); jobs of `knify run` are listed, too.
    """


@task.command("list")
@click.option("--state", help="Only tasks in this state.")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@jobs.json_option
def list_(state: str | None, limit: int, json_: bool) -> None:
    """List tasks, newest first."""
    found = entry.client().jobs(status=state, limit=limit)
    if json_:
        return show.as_json([job.raw for job in found])
    rows = [(job.id, job.status, show.when(job.created_at), job.name) for job in found]
    return show.table(("TASK", "STATE", "CREATED", "NAME"), rows, flexible=("NAME",))


@task.command()
@click.argument("task_id")
@click.argument("name")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path(), help="Folder.")
def download(task_id: str, name: str, output: Path) -> None:
    """Fetch one file of a task into this folder."""
    got = files.fetch(entry.client(), task_id, [name], output)
    files.table((file.path, file.size, file.sha256) for file in got)


task.add_command(jobs.show_, "status")
task.add_command(logs.logs, "logs")
task.add_command(jobs.cancel, "cancel")
task.add_command(files.artifacts, "artifacts")
cli.add_command(complete.command("sandbox"))


def main() -> None:
    """The console script."""
    cli(prog_name="sandbox")


if __name__ == "__main__":
    main()
