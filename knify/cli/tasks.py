"""`sandbox task …`: submit manifests, list, watch and cancel tasks, fetch their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from knify import errors, units
from knify.cli import complete, entry, follow, progress, show, words

if TYPE_CHECKING:
    from knify.client import Artifact, Client, Downloaded, Task

F = TypeVar("F", bound=Callable[..., Any])

STATES: Final = (
    "pending", "staging", "provisioning", "ready", "running", "completing", "completed", "failed",
    "failed_preserved", "cancelled",
)  # fmt: skip
_SORTS: Final = ("created_at", "started_at", "state_changed_at", "name")
_EXIT_CODES: Final = {"completed": 0, "cancelled": entry.CANCELLED}

format_option = click.option(
    "--format", "form", type=click.Choice(show.FORMATS), default="table", show_default=True,
    help="How it is printed.",
)  # fmt: skip
task_argument = click.argument("task_id", shell_complete=complete.tasks)


@click.group(cls=entry.Group)
def task() -> None:
    """Submit, watch and cancel tasks, and fetch their files.

    Where a command waits for a task's end, its exit code says how it ended: 0 only if it completed.
    """


@task.command()
@click.argument("manifest", type=click.File("r", encoding="utf-8"))
@click.option("--wait", "waits", is_flag=True, help="Until its end, silently.")
@click.option("--follow", "-f", "live", is_flag=True, help="Watch it until its end.")
@click.option("--timeout", metavar="AGE", help="Wait no longer than this, such as 90s or 2h.")
@format_option
def submit(manifest: Any, waits: bool, live: bool, timeout: str | None, form: str) -> None:
    """Submit MANIFEST, a file in YAML or JSON; `-` reads it from stdin.

    With --wait or --follow the exit code is 0 if the task completed, 1 if it failed, 5 if it was
    cancelled, 7 if it did not end within --timeout. Ctrl-C leaves the task running.
    """
    seconds = words.seconds("--timeout", timeout)
    if seconds is not None and (live or not waits):
        raise click.UsageError("--timeout belongs to --wait")
    try:
        text = manifest.read()
    except UnicodeDecodeError:
        raise click.UsageError(f"{manifest.name} is no UTF-8 text") from None
    client = entry.client()
    accepted = client.submit_task(text)
    if not waits and not live:
        return _accepted(accepted.raw, form)
    with leaving(accepted.task_id):
        if live:
            _follow(client, accepted.task_id, err=form != "table")
        ended = client.wait_task(accepted.task_id, seconds)
    return _end(ended, form)


@task.command("list")
@click.option("--state", multiple=True, help="Only in this state; several with commas, or again.")
@click.option("--label", "-l", multiple=True, metavar="K=V", help="Only with this label.")
@click.option("--parent", metavar="TASK", help="Only children of this task.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out so many.")
@click.option("--sort", type=click.Choice(_SORTS), default="created_at", show_default=True)
@click.option("--order", type=click.Choice(["desc", "asc"]), default="desc", show_default=True)
@format_option
def list_(
    state: tuple[str, ...], label: tuple[str, ...], parent: str | None, limit: int, offset: int,
    sort: str, order: str, form: str,
) -> None:  # fmt: skip
    """List tasks, newest first."""
    found = entry.client().tasks(
        state=_states(state), labels=words.pairs("--label", label), parent=parent, limit=limit,
        offset=offset, sort=sort, order=order,
    )  # fmt: skip
    if form != "table":
        return show.as_(form, found.raw)
    heads = ("TASK", "STATE", "EXIT", "CREATED", "NAME", "LABELS")
    rows = [
        (t.id, t.state, t.exit_code, show.when(t.created_at), t.name, _labels(t)) for t in found
    ]
    show.table(heads, rows, flexible=("NAME", "LABELS"), lesser=("LABELS", "EXIT"))
    if found.has_more:
        last = offset + len(found)
        show.line(f"… {last} of {found.total_count}: go on with --offset {last}", err=True)
    return None


@task.command()
@task_argument
@click.option("--watch", "-w", is_flag=True, help="Its history, live until its end.")
@format_option
def status(task_id: str, watch: bool, form: str) -> None:
    """Show one task. With --watch the exit code says how it ended."""
    client = entry.client()
    found = client.task(task_id)
    if not watch:
        return _show(found, form)
    waits(found)
    with leaving(task_id):
        for frame in client.stream_task_events(task_id):
            if form != "table":
                show.as_(form, frame.data, compact=True)
            else:
                show.line(f"{show.clock(frame.data.get('ts', ''))}  ", nl=False)
                follow.step(frame.data)
        ended = client.wait_task(task_id)
    return _end(ended, form, compact=True)


@task.command()
@task_argument
@click.option("--reason", help="Why; it stands in the task's history.")
@click.option("--force", is_flag=True, help="At once, without time to end by itself.")
@format_option
def cancel(task_id: str, reason: str | None, force: bool, form: str) -> None:
    """Stop a task."""
    answer = entry.client().cancel_task(task_id, reason, force=force)
    if form != "table":
        show.as_(form, answer.raw)
    else:
        show.line(f"{task_id} is {answer.new_state}: {answer.message}")


@task.command()
@task_argument
@format_option
def artifacts(task_id: str, form: str) -> None:
    """List the files that a task left."""
    found = entry.client().task_artifacts(task_id)
    if form != "table":
        show.as_(form, [_artifact(a) for a in found])
    else:
        _files((a.path, a.size, "withheld" if a.withheld else a.sha256) for a in found)


@task.command()
@task_argument
@click.argument("name")
@click.option(
    "--output", "-o", type=click.Path(), default=".", metavar="FILE|FOLDER",
    help="As this file, or into this folder (one that is there, or ends with /).",
)  # fmt: skip
@click.option("--verify", is_flag=True, help="Also hold it against the checksum in the list.")
@format_option
def download(task_id: str, name: str, output: str, verify: bool, form: str) -> None:
    """Fetch one file of a task, by its path or by its name; into this folder.

    What comes with another SHA-256 than the server promised is not kept.
    """
    client = entry.client()
    wanted = _checksum(client.task_artifacts(task_id), name) if verify else None
    is_folder = output.endswith("/") or Path(output).is_dir()
    with progress.bar(name) as heard:
        place = {"folder" if is_folder else "file": output}
        got = client.download_task(task_id, name, progress=heard, **place)
    if wanted is not None and got.sha256 != wanted:
        got.file.unlink()
        raise errors.KnifyError(f"{name} is not what the list says: SHA-256 {got.sha256}")
    _downloaded(got, form, verified=got.verified or verify)


def _accepted(raw: dict[str, Any], form: str) -> None:
    if form != "table":
        return show.as_(form, raw)
    show.line(raw["task_id"])
    return show.line(f"watch it with: sandbox task logs {raw['task_id']} --follow", err=True)


def _follow(client: Client, task_id: str, *, err: bool) -> None:
    """Its steps and what it says, as a job's."""
    found = client.task(task_id)
    show.line(f"task {task_id}", err=err, bold=True)
    raw = wants_raw(found)
    follow.watch(client, found.execution_id or task_id, raw=raw, err=err)


def wants_raw(found: Task) -> bool:
    """A plain command says nothing but its lines; see `follow.wants_raw`."""
    agent = found.definition.get("agent")
    return isinstance(agent, dict) and agent.get("type") == "command"


def leaving(task_id: str) -> Any:
    """See `entry.leaving_it`."""
    return entry.leaving_it(
        task_id, f"sandbox task logs {task_id} --follow", f"sandbox task cancel {task_id}"
    )


def waits(found: Task) -> None:
    """Why it does not run yet."""
    if found.state == "pending" and found.state_message:
        show.line(f"… pending: {found.state_message}", err=True, fg="yellow")


def ending(found: Task) -> int:
    """The exit code that says how it ended."""
    return _EXIT_CODES.get(found.state, entry.FAILED)


def _end(found: Task, form: str, *, compact: bool = False) -> None:
    if form == "table":
        code = f" (exit code {found.exit_code})" if found.exit_code else ""
        good = found.state == "completed"
        why = f": {found.error}" if found.error else ""
        text = f"{'✓' if good else '✗'} {found.state}{code}{why}"
        show.line(text, fg="green" if good else "red")
    else:
        show.as_(form, found.raw, compact=compact)
    entry.leave(ending(found))


def _show(found: Task, form: str) -> None:
    if form != "table":
        return show.as_(form, found.raw)
    more = {f"progress.{name}": value for name, value in found.progress.items()}
    shown = {k: v for k, v in found.raw.items() if k not in ("progress", "definition", "usage")}
    return show.facts(shown | more | {"usage": found.get("usage")})


def _states(given: tuple[str, ...]) -> list[str]:
    found = [part.strip() for text in given for part in text.split(",") if part.strip()]
    for one in found:
        if one not in STATES:
            raise click.UsageError(f"--state is one of {', '.join(STATES)}, not {one!r}")
    return found


def _labels(found: Task) -> str:
    return " ".join(f"{name}={value}" for name, value in found.labels.items())


def _artifact(found: Artifact) -> dict[str, Any]:
    return {
        "path": found.path,
        "size_bytes": found.size,
        "sha256": found.sha256,
        "content_type": found.content_type,
        "withheld": found.withheld,
    }


def _checksum(found: list[Artifact], name: str) -> str:
    """Of the file that the server would give for this name."""
    chosen = [a for a in found if a.path == name]
    chosen = chosen or [a for a in found if a.path.rpartition("/")[2] == name]
    if len(chosen) != 1 or chosen[0].sha256 is None:
        raise errors.KnifyError(f"the task's list has no one file {name} with a checksum")
    return chosen[0].sha256


def _downloaded(got: Downloaded, form: str, *, verified: bool) -> None:
    row = {
        "path": got.path,
        "file": str(got.file),
        "size_bytes": got.size,
        "sha256": got.sha256,
        "verified": verified,
    }
    if form != "table":
        return show.as_(form, row)
    seal = "verified" if verified else "no checksum was promised"
    return show.line(f"{got.file}  {units.show_size(got.size)}  {got.sha256}  {seal}")


def _files(rows: Any) -> None:
    from knify.cli import files

    files.table(rows)
