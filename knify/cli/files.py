"""`knify jobs artifacts` and `download`: the files that a job left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knify import units
from knify.cli import entry, jobs, progress, show, words

if TYPE_CHECKING:
    from knify.client import Client, Downloaded


@jobs.jobs.command()
@jobs.job_argument
@jobs.json_option
def artifacts(job_id: str, json_: bool) -> None:
    """List the files that a job left."""
    found = entry.client().artifacts(job_id)
    if json_:
        rows = [
            {"path": a.path, "size_bytes": a.size, "sha256": a.sha256, "withheld": a.withheld}
            for a in found
        ]
        show.as_json(rows)
    else:
        table((a.path, a.size, "withheld" if a.withheld else a.sha256) for a in found)


@jobs.jobs.command()
@jobs.job_argument
@click.argument("paths", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Into this folder.")
@click.option("--archive", type=click.Path(path_type=Path), help="All as this one .tar.gz or .tgz.")
@jobs.json_option
def download(
    job_id: str, paths: tuple[str, ...], output: Path | None, archive: Path | None, json_: bool
) -> None:
    """Fetch a job's files, all or only PATHS, into ./knify-JOB."""
    if archive and (paths or output):
        raise click.UsageError("--archive takes all files: leave PATHS and --output out")
    if archive and not archive.name.endswith((".tar.gz", ".tgz")):
        raise click.UsageError(f"--archive writes a .tar.gz: name it so, not {archive.name}")
    client, folder = entry.client(), output or default_folder(job_id)
    if archive:
        with progress.bar(archive.name) as heard:
            got = [client.download_archive(job_id, archive, progress=heard)]
    else:
        got = fetch(client, job_id, paths or client.job(job_id).files, folder)
    if json_:
        show.as_json([as_row(file) for file in got])
    else:
        table((file.path, file.size, file.sha256) for file in got)
        if not archive:
            show.line(f"{words.count(len(got), 'file')} in {folder}", err=True)


def fetch(client: Client, job_id: str, paths: Sequence[str], folder: Path) -> list[Downloaded]:
    """Files into a folder, each with a bar where somebody looks.

    One with a hostile name or a wrong checksum stops it.
    """
    got = []
    for path in paths:
        with progress.bar(path) as heard:
            got.append(client.download(job_id, path, folder, progress=heard))
    return got


def table(rows: Iterable[tuple[str, int | None, str | None]], *, err: bool = False) -> None:
    """Files with their sizes and the beginnings of their checksums."""
    cells = [
        (path, "?" if size is None else units.show_size(size), (sha256 or "?")[:12])
        for path, size, sha256 in rows
    ]
    show.table(("FILE", "SIZE", "SHA-256"), cells, flexible=("FILE",), err=err)


def default_folder(job_id: str) -> Path:
    """Where a job's files go unless the user says otherwise; the id is the server's word."""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in job_id)
    return Path(f"knify-{safe}")


def default_tar(workspace: str) -> Path:
    """Where a workspace goes unless the user says otherwise."""
    return Path(f"{default_folder(workspace.removeprefix('/workspaces/'))}.tar")


def as_row(file: Downloaded) -> dict[str, Any]:
    """A downloaded file as JSON."""
    return {
        "path": file.path,
        "file": str(file.file),
        "size_bytes": file.size,
        "sha256": file.sha256,
        "verified": file.verified,
    }
