"""`knify workspaces …`: upload folders once, use them in many jobs."""

from __future__ import annotations

from pathlib import Path

import click

from knify import units
from knify.cli import entry, jobs, show


@click.group(cls=entry.Group)
def workspaces() -> None:
    """Upload and list workspaces."""


@workspaces.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--name", help="Default: the folder's name.")
@jobs.json_option
def push(path: Path, name: str | None, json_: bool) -> None:
    """Upload DIR, or an archive of one, as a workspace's new version.

    Everything goes along except `.git`, and links that lead out of DIR are refused.
    """
    made = entry.client().upload_workspace(path, name)
    if json_:
        show.as_json(made.raw)
        return
    version = f", version {made.version}" if made.version else ""
    show.line(f"{made.path}{version}")


@workspaces.command("list")
@jobs.json_option
def list_(json_: bool) -> None:
    """List the workspaces."""
    found = entry.client().list_workspaces()
    if json_:
        return show.as_json([row.raw for row in found])
    rows = [
        (w.path, w.version, units.show_size(w.size_bytes or 0), w.created_at, w.workspace_id)
        for w in found
    ]
    return show.table(("WORKSPACE", "VERSION", "SIZE", "CREATED", "ID"), rows)
