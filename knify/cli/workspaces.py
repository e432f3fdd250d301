"""`knify workspaces …`: upload folders once, use them in many jobs."""

from __future__ import annotations

from pathlib import Path

import click

from knify import units
from knify.cli import complete, entry, files, folders, jobs, progress, show

_argument = click.argument(
    "workspace", metavar="NAME[@VERSION]|ID", shell_complete=complete.workspaces
)


@click.group(cls=entry.Group)
def workspaces() -> None:
    """Upload, list, fetch and delete workspaces."""


@workspaces.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--name", help="Default: the folder's name.")
@jobs.json_option
def push(path: Path, name: str | None, json_: bool) -> None:
    """Upload DIR, or an archive of one, as a workspace's new version.

    `.git`, `.venv`, `__pycache__`, `knify-job_*` and what DIR/.knifyignore names (as a .gitignore
    would) stay here. Links that lead out of DIR are refused.
    """
    made = folders.upload(entry.client(), path, name)
    if json_:
        show.as_json(made.raw)
        return
    version = f", version {made.version}" if made.version else ""
    version += " as before" if made.unchanged else ""
    show.line(f"{made.path}{version}")


@workspaces.command("list")
@click.option("--name", help="Only versions of this one.")
@jobs.json_option
def list_(name: str | None, json_: bool) -> None:
    """List the newest versions of the workspaces."""
    found = entry.client().list_workspaces(name=name)
    if json_:
        return show.as_json([row.raw for row in found])
    rows = [
        (w.path, w.version, units.show_size(w.size_bytes or 0), show.when(w.created_at),
         w.workspace_id)
        for w in found
    ]  # fmt: skip
    heads = ("WORKSPACE", "VERSION", "SIZE", "CREATED", "ID")
    # The name does what the id does, so the id goes first where there is no room.
    return show.table(heads, rows, lesser=("ID", "CREATED"))


@workspaces.command("show")
@_argument
@jobs.json_option
def show_(workspace: str, json_: bool) -> None:
    """Show one version of a workspace, by default the newest."""
    client = entry.client()
    found = client.workspace(folders.workspace_id(client, workspace))
    if json_:
        return show.as_json(found.raw)
    return show.facts(found.raw)


@workspaces.command()
@_argument
@click.option("--output", "-o", type=click.Path(path_type=Path), help="As this file.")
@jobs.json_option
def download(workspace: str, output: Path | None, json_: bool) -> None:
    """Fetch one version of a workspace, by default the newest, as a .tar."""
    client = entry.client()
    workspace_id = folders.workspace_id(client, workspace)
    file = output or files.default_tar(workspace)
    with progress.bar(file.name) as heard:
        got = client.download_workspace(workspace_id, file, progress=heard)
    if json_:
        return show.as_json(files.as_row(got))
    return show.line(f"{file}, {units.show_size(got.size)}")


@workspaces.command()
@_argument
@jobs.yes_option
@jobs.json_option
def delete(workspace: str, yes: bool, json_: bool) -> None:
    """Delete one version of a workspace for good: the newest, or NAME@VERSION."""
    client = entry.client()
    found = client.workspace(folders.workspace_id(client, workspace))
    workspace_id = found.workspace_id or workspace
    jobs.confirm(f"Delete {found.pinned} ({workspace_id}) for good?", yes=yes)
    client.delete_workspace(workspace_id)
    facts: dict[str, object] = {"workspace_id": workspace_id, "deleted": True}
    jobs.done(facts, f"{found.pinned} is deleted", json_=json_)
