"""The `sandbox` command: tasks, which are what the Jobs API calls jobs."""

from __future__ import annotations

import click

import knify
from knify.cli import complete, entry, shell, tasklogs, tasks


@click.group(cls=entry.Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(knify.__version__, prog_name="sandbox")
def cli() -> None:
    """Run tasks in isolated sandboxes.

    KNIFY_URL and KNIFY_API_KEY say which server and key to use; without them it is this
    machine's own, as `knify up` started it. Exit codes stand in docs/cli.md.
    """


#: Modules that hang their commands below `sandbox task` themselves.
_TASKS = (tasklogs, shell)

cli.add_command(tasks.task)
cli.add_command(complete.command("sandbox"))


def main() -> None:
    """The console script."""
    cli(prog_name="sandbox")


if __name__ == "__main__":
    main()
