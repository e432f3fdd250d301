"""`knify sandboxes …`: what lives where and how long, and what nobody knows any more."""

from __future__ import annotations

import click

from knify.cli import entry, jobs, show


@click.group(cls=entry.Group)
def sandboxes() -> None:
    """List and show sandboxes, and keep them longer."""


@sandboxes.command("list")
@click.option("--orphans", is_flag=True, help="What Podman has and Redis does not know (admin).")
@click.option("--limit", type=click.IntRange(1, 100), default=100, show_default=True)
@jobs.json_option
def list_(orphans: bool, limit: int, json_: bool) -> None:
    """List the newest sandboxes.

    An orphan is stopped and kept for KNIFY_ORPHAN_HOURS after it was found, counted anew when
    Redis was put back to an older state.
    """
    found = entry.client().sandboxes(orphans=orphans, limit=limit)
    if json_:
        return show.as_json([row.raw for row in found])
    if orphans:
        heads = ("SANDBOX", "NODE", "HAS", "FOUND", "KEPT UNTIL")
        rows = [
            (s.id, s.node, ", ".join(s.kinds or ()), show.when(s.found_at), s.kept_until)
            for s in found
        ]
        return show.table(heads, rows, flexible=("NODE", "HAS", "KEPT UNTIL"))
    return show.table(
        ("SANDBOX", "STATE", "CREATED", "NODE", "IMAGE"),
        [(s.id, s.state, show.when(s.created_at), s.node, s.image) for s in found],
        flexible=("NODE", "IMAGE"),
    )


@sandboxes.command("show")
@click.argument("sandbox_id")
@jobs.json_option
def show_(sandbox_id: str, json_: bool) -> None:
    """Show a sandbox and the jobs that run or wait in it."""
    found = entry.client().sandbox(sandbox_id)
    if json_:
        return show.as_json(found.raw)
    return show.facts(found.raw)


@sandboxes.command()
@click.argument("sandbox_id")
@click.option("--expires-in", metavar="TIME", help="Such as 12h or 7d. Default: as long as may be.")
@jobs.json_option
def extend(sandbox_id: str, expires_in: str | None, json_: bool) -> None:
    """Keep an idle sandbox for some time from now on.

    It never expires earlier than it would have; KNIFY_SANDBOX_DAYS is the most.
    """
    found = entry.client().extend_sandbox(sandbox_id, expires_in)
    if json_:
        return show.as_json(found.raw)
    return show.line(f"{found.id} is kept until {found.expires_at}")
