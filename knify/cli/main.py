"""The `knify` command."""

from __future__ import annotations

import click

import knify
from knify.cli import (
    backup,
    complete,
    definitions,
    entry,
    files,
    host,
    jobs,
    keys,
    logs,
    nodes,
    purge,
    run,
    sandboxes,
    schedules,
    secrets,
    webhooks,
    workspaces,
)


@click.group(cls=entry.Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(knify.__version__, prog_name="knify")
def cli() -> None:
    """Run untrusted work in isolated sandboxes.

    KNIFY_URL and KNIFY_API_KEY say which server and key to use; without them it is this
    machine's own, as `knify up` started it. Exit codes stand in docs/cli.md.
    """


#: Modules that hang their commands below `knify jobs` and `knify schedules` themselves.
_HUNG = (files, logs, run, definitions)

for command in (
    run.run,
    jobs.jobs,
    schedules.schedules,
    sandboxes.sandboxes,
    workspaces.workspaces,
    secrets.secrets,
    webhooks.webhooks,
    keys.keys,
    nodes.nodes,
    host.up,
    host.api,
    host.worker,
    host.beat,
    host.gateway,
    host.doctor,
    host.setup,
    host.images,
    purge.purge,
    host.gc,
    backup.backup,
    backup.restore,
    complete.command("knify"),
):
    cli.add_command(command)


def main() -> None:
    """The console script."""
    cli(prog_name="knify")


if __name__ == "__main__":
    main()
