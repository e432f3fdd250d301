"""`knify jobs …`: list and show jobs, wait for them, end them, delete them."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import click

from knify.cli import complete, entry, show, words

if TYPE_CHECKING:
    from knify.client import Job

json_option = click.option("--json", "json_", is_flag=True, help="Print JSON.")
follow_option = click.option("--follow", "-f", "live", is_flag=True, help="Go on until the end.")
job_argument = click.argument("job_id", shell_complete=complete.jobs)
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")

_STATUSES = click.Choice(["pending", "running", "completed", "failed", "cancelled"])
_PAGE = 100  # jobs in one answer at most
_EXIT_CODES = {"completed": 0, "failed": entry.FAILED, "cancelled": entry.CANCELLED}


@click.group(cls=entry.Group)
def jobs() -> None:
    """Look at jobs, follow, continue and clean them up."""


@jobs.command("list")
@click.option("--status", multiple=True, type=_STATUSES, help="Repeat it for several.")
@click.option("--type", "job_type", help="Only jobs of this type.")
@click.option("--metadata", "-m", multiple=True, metavar="K=V", help="Only with this metadata.")
@click.option("--since", metavar="AGE|TIME", help="Only newer ones: 2h, 7d, or an RFC 3339 time.")
@click.option("--until", metavar="AGE|TIME", help="Only older ones.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--all", "all_", is_flag=True, help="All of them, however many.")
@json_option
def list_(
    status: tuple[str, ...], job_type: str | None, metadata: tuple[str, ...], since: str | None,
    until: str | None, limit: int, all_: bool, json_: bool,
) -> None:  # fmt: skip
    """List jobs, newest first."""
    wanted = words.Filters(
        status=status or None,
        job_type=job_type,
        metadata=words.pairs("--metadata", metadata),
        created_after=words.moment("--since", since),
        created_before=words.moment("--until", until),
    )
    client = entry.client()
    if all_ or limit > _PAGE:
        found = list(itertools.islice(client.iter_jobs(**wanted), None if all_ else limit))
    else:
        found = client.jobs(limit=limit, **wanted)
    if json_:
        return show.as_json([job.raw for job in found])
    rows = [
        (job.id, job.status, job.exit_code, show.when(job.created_at), job.name or _what(job))
        for job in found
    ]
    heads = ("JOB", "STATUS", "EXIT", "CREATED", "NAME OR COMMAND")
    return show.table(heads, rows, flexible=heads[-1:])


@jobs.command("show")
@job_argument
@json_option
def show_(job_id: str, json_: bool) -> None:
    """Show one job."""
    job = entry.client().job(job_id)
    if json_:
        show.as_json(job.raw)
    else:
        show.facts({k: v for k, v in job.raw.items() if k not in ("events", "spec")} | job.spec)


@jobs.command()
@job_argument
@click.option("--timeout", metavar="AGE", help="Give up after this time, such as 90s or 2h.")
@json_option
def wait(job_id: str, timeout: str | None, json_: bool) -> None:
    """Wait for a job's end; the exit code says how it ended.

    0 completed, 1 failed, 5 cancelled, 7 not within --timeout.
    """
    seconds = words.seconds("--timeout", timeout)
    with entry.leaving_it(job_id):
        job = entry.client().wait(job_id, seconds)
    if json_:
        show.as_json(job.raw)
    else:
        ending(job)
    entry.leave(exit_code(job))


@jobs.command()
@job_argument
@click.option("--reason", help="Why; it stands in the job's history.")
@json_option
def cancel(job_id: str, reason: str | None, json_: bool) -> None:
    """Stop a job."""
    answer = entry.client().cancel(job_id, reason)
    if json_:
        show.as_json(answer.raw)
    else:
        ended = answer.status not in ("pending", "running")
        show.line(f"{job_id} is {answer.status}" if ended else f"{job_id} is being cancelled")


@jobs.command()
@job_argument
@click.option("--force", is_flag=True, help="Cancel what still runs or waits in the sandbox.")
@json_option
def cleanup(job_id: str, force: bool, json_: bool) -> None:
    """Delete a job's sandbox for good; the job, its output and its files stay."""
    answer = entry.client().cleanup(job_id, force=force)
    if json_:
        show.as_json(answer)
    else:
        show.line(answer.get("message", "Sandbox cleaned up"))


@jobs.command()
@job_argument
@yes_option
@json_option
def delete(job_id: str, yes: bool, json_: bool) -> None:
    """Delete a job for good, its output and files too; one that runs is cancelled first."""
    confirm(f"Delete {job_id} with its output and files for good?", yes=yes)
    entry.client().delete_job(job_id)
    done({"job_id": job_id, "deleted": True}, f"{job_id} is deleted", json_=json_)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is gone for good."""
    if not yes:
        # Where nobody sits, whoever wrote the script wants to know what spares the question.
        hint = "" if sys.stdin.isatty() else " (--yes does not ask)"
        click.confirm(f"{show.clean(question)}{hint}", abort=True, err=True)


def done(facts: dict[str, object], text: str, *, json_: bool) -> None:
    """Say that something was done, to people or to programs."""
    if json_:
        show.as_json(facts)
    else:
        show.line(text)


def ending(job: Job, *, err: bool = False) -> None:
    """How a job ended, on one line."""
    good = job.status == "completed"
    code = f" (exit code {job.exit_code})" if job.exit_code else ""
    why = f": {job.error}" if job.error else ""
    mark = "✓" if good else "✗"
    show.line(f"{mark} {job.status}{code}{why}", err=err, fg="green" if good else "red")


def exit_code(job: Job) -> int:
    """0 only for a job that did what it was asked."""
    return _EXIT_CODES.get(job.status, entry.FAILED)


def _what(job: Job) -> str:
    """The first line of what it runs."""
    command = job.spec.get("command") or job.spec.get("prompt") or ""
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command)
    return text.strip().partition("\n")[0]
