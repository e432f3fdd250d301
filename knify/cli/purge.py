"""Removing all sandboxes of an installation from this host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from knify.cli import entry, show, words


@click.command()
@click.option("--installation", metavar="ID", help="Of this one, instead of KNIFY_HOME's.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(installation: str | None, yes: bool) -> None:
    """Remove all sandboxes of this installation: its containers and volumes in Podman.

    Stop Knify first. The home folder with keys, jobs and artifacts stays. An installation in
    containers is named by its id, on the host; one that is not here gets a list of those which are.
    """
    settings = entry.settings()
    own = entry.later("knify.install").marked(settings)
    wanted = installation or own
    _check_place(settings, wanted)
    if wanted is None:
        raise click.UsageError(
            f"{settings.home} holds no installation: name one with --installation"
        )
    conf = settings.home / "containers.conf"
    _purge(wanted, conf if conf.exists() else None, yes)


def _check_place(settings: Any, wanted: str | None) -> None:
    if not entry.later("knify.host.podman").installed():
        raise click.UsageError(
            f"Podman is not here: run `knify purge --installation {wanted or 'ID'}` as root on the "
            "host whose Podman has the sandboxes, with Knify stopped"
        )
    lock = settings.run_dir / "up.lock"
    if lock.exists() and entry.later("knify.up").is_running(lock):
        raise click.UsageError(f"knify up runs in {settings.home}: stop it first (Ctrl-C)")


def _purge(installation: str, conf: Path | None, yes: bool) -> None:
    purging = entry.later("knify.host.purge")
    here = purging.found(conf)
    if installation not in here:
        others = "; ".join(f"{name}: {_counted(*here[name])}" for name in here) or "none"
        raise click.UsageError(f"nothing of {installation} is here. Who has something: {others}")
    if living := purging.workers(installation):
        pids = ", ".join(map(str, living))
        raise click.UsageError(f"workers of {installation} run here ({pids}): stop them first")
    if not yes:
        what = f"{_counted(*here[installation])} of {installation}"
        click.confirm(f"Delete all its sandboxes for good: {what}?", abort=True)
    show.line(f"removed {_counted(*purging.purge(installation, conf))}")


def _counted(containers: int, volumes: int) -> str:
    return f"{words.count(containers, 'container')} and {words.count(volumes, 'volume')}"
