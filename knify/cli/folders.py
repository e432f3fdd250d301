"""Folders on their way to a server, and workspaces by the names that people know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from knify import errors
from knify.cli import progress, show

if TYPE_CHECKING:
    from knify.client import Client
    from knify.client.records import Workspace

_SHOWN = 6  # names on one line


def upload(
    client: Client, path: Path, name: str | None = None, *, quiet: bool = False
) -> Workspace:
    """Upload a folder or an archive, and say what stays here and what perhaps should."""
    if path.is_dir():
        tell(path, quiet=quiet)
    with progress.bar(f"upload {path.resolve().name}") as heard:
        return client.upload_workspace(path, name, progress=heard)


def tell(folder: Path, *, quiet: bool = False) -> None:
    """What of a folder is left out, and what of it looks like secrets."""
    from knify.client import pack

    found = pack.survey(folder)
    if found.left_out and not quiet:
        show.line(f"left out: {_few(found.left_out)}", err=True, dim=True)
    if found.secret:
        text = f"! {_few(found.secret)} may hold secrets and goes along; .knifyignore leaves it out"
        show.line(text, err=True, fg="yellow")


def workspace_id(client: Client, word: str) -> str:
    """The id of what is named NAME, NAME@VERSION or /workspaces/…; an id as it is."""
    if word.startswith("workspace_"):
        return word
    name, at, version = word.removeprefix("/workspaces/").partition("@")
    there = client.list_workspaces(name=name) if name else []
    if not there:
        raise errors.NotFound(f"no workspace {word}: `knify workspaces list` shows what there is")
    chosen = [one for one in there if not at or str(one.version) == version]
    if not chosen:
        versions = ", ".join(str(one.version) for one in there)
        raise errors.NotFound(f"{name} has no version {version}: there is {versions}")
    return chosen[0].workspace_id or word


def _few(names: tuple[str, ...]) -> str:
    """The first ones, each name once in whatever folder it lies."""
    last = list(dict.fromkeys(name.rstrip("/").rpartition("/")[2] for name in names))
    more = f" and {len(last) - _SHOWN} more" if len(last) > _SHOWN else ""
    return ", ".join(last[:_SHOWN]) + more
