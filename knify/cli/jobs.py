"""`knify jobs …`: look at jobs, follow them, continue them, fetch what they left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knify import units
from knify.cli import entry, follow, show

if TYPE_CHECKING:
    from knify.client import Downloaded, Frame, Job

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")
follow_option = click.option("--follow", "-f", "live", is_flag=True, help="Go on until the end.")


_WIDE = 60  # characters of a command in a list


@click.group(cls=entry.Group)
def jobs() -> None:
    """Look at jobs, follow, continue and clean them up."""


@jobs.command("list")
@click.option("--status", help="Only pending, running, completed, failed or cancelled ones.")
@click.option("--type", "job_type", help="Only jobs of this type.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option("--page", type=click.IntRange(1), default=1, help="Older ones.")
@json_option
def list_(status: str | None, job_type: str | None, limit: int, page: int, json_: bool) -> None:
    """List jobs, newest first."""
    found = entry.client().jobs(status=status, job_type=job_type, limit=limit, page=page)
    if json_:
        return show.as_json([job.raw for job in found])
    rows = [
        (job.id, job.status, job.exit_code, job.created_at, job.name or _what(job)) for job in found
    ]
    return show.table(("JOB", "STATUS", "EXIT", "CREATED", "NAME OR COMMAND"), rows)


def _what(job: Job) -> str:
    """The beginning of what it runs."""
    command = job.spec.get("command") or job.spec.get("prompt") or ""
    text = " ".join(command) if isinstance(command, list) else str(command)
    first = text.strip().partition("\n")[0]
    return first if len(first) <= _WIDE else first[: _WIDE - 1] + "…"


@jobs.command("show")
@click.argument("job_id")
@json_option
def show_(job_id: str, json_: bool) -> None:
    """Show one job."""
    job = entry.client().job(job_id)
    if json_:
        show.as_json(job.raw)
    else:
        show.facts({k: v for k, v in job.raw.items() if k not in ("events", "spec")} | job.spec)


@jobs.command()
@click.argument("job_id")
@follow_option
@click.option("--raw", is_flag=True, help="The program's own lines, every byte as it wrote it.")
@json_option
def logs(job_id: str, live: bool, raw: bool, json_: bool) -> None:
    """Print what a job says."""
    client = entry.client()
    own_lines = raw or follow.wants_raw(client.job(job_id).spec.get("job_type"))
    found: Iterable[dict[str, Any]]
    if live:
        found = _data(client.stream_output(job_id, raw=own_lines))
    else:
        found = client.output(job_id, raw=own_lines)
    for data in found:
        if json_:
            show.as_json(data, compact=True)
        elif raw:
            show.verbatim(data.get("line", ""))
        elif own_lines:
            follow.raw_line(data)
        else:
            follow.event(data)


@jobs.command()
@click.argument("job_id")
@follow_option
@json_option
def events(job_id: str, live: bool, json_: bool) -> None:
    """Print the steps of a job's history."""
    client = entry.client()
    found: Iterable[dict[str, Any]]
    if live:
        found = _data(client.stream_events(job_id))
    else:
        found = [event.raw for event in client.events(job_id)]
    for data in found:
        if json_:
            show.as_json(data, compact=True)
        else:
            show.line(f"{data.get('ts', '')}  ", nl=False)
            follow.step(data)


@jobs.command()
@click.argument("job_id")
@json_option
def cancel(job_id: str, json_: bool) -> None:
    """Stop a job."""
    answer = entry.client().cancel(job_id)
    if json_:
        show.as_json(answer.raw)
    else:
        ended = answer.status not in ("pending", "running")
        show.line(f"{job_id} is {answer.status}" if ended else f"{job_id} is being cancelled")


@jobs.command()
@click.argument("job_id")
@click.option("--force", is_flag=True, help="Cancel what still runs or waits in the sandbox.")
@json_option
def cleanup(job_id: str, force: bool, json_: bool) -> None:
    """Delete a job's sandbox for good."""
    answer = entry.client().cleanup(job_id, force=force)
    if json_:
        show.as_json(answer)
    else:
        show.line(answer.get("message", "Sandbox cleaned up"))


@jobs.command()
@click.argument("job_id")
@json_option
def artifacts(job_id: str, json_: bool) -> None:
    """List the files that a job left."""
    found = entry.client().artifacts(job_id)
    if json_:
        rows = [{"path": a.path, "size_bytes": a.size, "sha256": a.sha256} for a in found]
        show.as_json(rows)
    else:
        table((a.path, a.size, a.sha256) for a in found)


@jobs.command()
@click.argument("job_id")
@click.argument("paths", nargs=-1)
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Into this folder.")
@json_option
def download(job_id: str, paths: tuple[str, ...], output: Path | None, json_: bool) -> None:
    """Fetch a job's files, all or only PATHS, into ./knify-JOB."""
    client, folder = entry.client(), output or default_folder(job_id)
    wanted = paths or client.job(job_id).files
    got = [client.download(job_id, path, folder) for path in wanted]
    if json_:
        show.as_json([as_row(file) for file in got])
    else:
        table((file.path, file.size, file.sha256) for file in got)
        show.line(f"{len(got)} files in {folder}", err=True)


def table(rows: Iterable[tuple[str, int | None, str | None]], *, err: bool = False) -> None:
    """Files with their sizes and the beginnings of their checksums."""
    cells = [
        (path, "?" if size is None else units.show_size(size), (sha256 or "?")[:12])
        for path, size, sha256 in rows
    ]
    show.table(("FILE", "SIZE", "SHA-256"), cells, err=err)


def default_folder(job_id: str) -> Path:
    """Where a job's files go unless the user says otherwise; the id is the server's word."""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in job_id)
    return Path(f"knify-{safe}")


def as_row(file: Downloaded) -> dict[str, Any]:
    """A downloaded file as JSON."""
    return {
        "path": file.path,
        "file": str(file.file),
        "size_bytes": file.size,
        "sha256": file.sha256,
        "verified": file.verified,
    }


def exit_code(job: Job) -> int:
    """0 only for a job that did what it was asked."""
    return 0 if job.status == "completed" else entry.FAILED


def _data(frames: Iterable[Frame]) -> Iterable[dict[str, Any]]:
    return (frame.data for frame in frames)
