"""Files from the server: one, all of a job's, or an archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from knify.client import files, steps
from knify.client.calls import jobs, output, tasks, workspaces
from knify.client.calls.base import Call


def download(
    job_id: str, path: str, folder: str | Path, *, progress: files.Progress | None = None
) -> steps.Steps[files.Downloaded]:
    """One of a job's files into `folder`, under its own path.

    Raises ArtifactDamaged when its SHA-256 is not the one that the server promised, UnsafePath when
    its name leads out of the folder; nothing is kept then.
    """
    call = output.artifact(job_id, path)
    return steps.fetch(call, _into(files.target(Path(folder), path), path, progress))


def download_all(
    job_id: str, folder: str | Path, *, progress: files.Progress | None = None
) -> steps.Steps[list[files.Downloaded]]:
    """All of a job's files into `folder`; `progress` hears of each for itself."""
    job = yield from steps.ask(jobs.job(job_id))
    got = []
    for path in job.files:
        got.append((yield from download(job_id, path, folder, progress=progress)))
    return got


def download_archive(
    job_id: str, file: str | Path, *, progress: files.Progress | None = None
) -> steps.Steps[files.Downloaded]:
    """All of a job's files as one .tar.gz."""
    return _as_file(output.archive(job_id), Path(file), progress)


def download_task(
    task_id: str,
    path: str,
    folder: str | Path = ".",
    *,
    file: str | Path | None = None,
    progress: files.Progress | None = None,
) -> steps.Steps[files.Downloaded]:
    """One of a task's files into `folder`, under its own path, or as just this `file`.

    `path` may be its name alone, where no other file is called so. Raises as `download`.
    """
    call = tasks.artifact(task_id, path)
    if file is not None:
        return _as_file(call, Path(file), progress)
    return steps.fetch(call, _into(files.target(Path(folder), path), path, progress))


def download_workspace(
    workspace_id: str, file: str | Path, *, progress: files.Progress | None = None
) -> steps.Steps[files.Downloaded]:
    """One version of a workspace as a .tar."""
    return _as_file(workspaces.download_workspace(workspace_id), Path(file), progress)


def _as_file(
    call: Call[None], file: Path, progress: files.Progress | None
) -> steps.Steps[files.Downloaded]:
    file.parent.mkdir(parents=True, exist_ok=True)
    return steps.fetch(call, _into(file, file.name, progress))


def _into(
    file: Path, path: str, progress: files.Progress | None
) -> Callable[[httpx.Response], files.Sink]:
    return lambda response: files.Sink(response, path, file, progress)
