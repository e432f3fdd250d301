"""Commands that work on this machine and not through the API: processes, images, checks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from knify import errors, units
from knify.cli import entry, jobs, show, words

_LEVELS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failure": ("✗", "red")}


@click.command()
@click.option("--no-auth", is_flag=True, help="Serve without keys; on loopback only.")
def up(no_auth: bool) -> None:
    """Run everything on this machine until Ctrl-C."""
    settings = entry.settings()
    entry.leave(entry.later("knify.up").main(settings, no_auth=no_auth))


@click.command()
def api() -> None:
    """Run the HTTP API alone."""
    entry.leave(entry.later("knify.up").exec_part("api"))


@click.command()
def worker() -> None:
    """Run this node's worker alone."""
    entry.leave(entry.later("knify.up").exec_part("worker"))


@click.command()
def gateway() -> None:
    """Run this node's gateway alone: what lets sandboxes out."""
    entry.leave(entry.later("knify.up").exec_part("gateway"))


@click.command()
def beat() -> None:
    """Run the periodic repairs alone."""
    entry.leave(entry.later("knify.up").exec_part("beat"))


@click.command()
@jobs.json_option
def doctor(json_: bool) -> None:
    """Check this machine: each line ok, a warning, or a failure with its cure."""
    settings = entry.settings()
    found = entry.later("knify.doctor").checks(settings)
    if json_:
        show.as_json([asdict(check) for check in found])
    else:
        for check in found:
            mark, colour = _LEVELS.get(str(check.level), ("?", None))
            show.line(f"{mark} {check.name}: {check.message}", fg=colour)
            if check.cure:
                show.line(f"    {check.cure}")
    entry.leave(entry.FAILED if any(str(c.level) == "failure" for c in found) else 0)


@click.command()
def setup() -> None:
    """Prepare this machine: id ranges, container settings, the base image."""
    entry.leave(entry.later("knify.host.setup").main())


@click.group(cls=entry.Group)
def images() -> None:
    """List and build the sandbox images."""


@images.command("list")
@jobs.json_option
def list_(json_: bool) -> None:
    """List the recipes and whether their images are current."""
    made, recipes = entry.later("knify.host.images"), entry.later("knify.host.recipes")
    rows = [_row(made, recipes.load(name)) for name in recipes.names()]
    if json_:
        show.as_json(rows)
    else:
        shown = [
            (r["name"], r["image"], r["state"], units.show_size(r["size"]) if r["size"] else "",
             (r["digest"] or "")[:19])
            for r in rows
        ]  # fmt: skip
        show.table(("RECIPE", "IMAGE", "STATE", "SIZE", "DIGEST"), shown)


def _row(made: Any, recipe: Any) -> dict[str, Any]:
    found = made.look(recipe.tag)
    state = "missing" if found is None else "outdated"
    return {
        "name": recipe.name,
        "image": recipe.tag,
        "state": "current" if found is not None and made.current(recipe.name) else state,
        "size": found and found.size,
        "digest": found and found.digest,
        "installation": found and found.installation,
    }


@images.command()
@click.argument("names", nargs=-1)
def build(names: tuple[str, ...]) -> None:
    """Build the images of these recipes, or of all."""
    settings = entry.settings()
    made, recipes = entry.later("knify.host.images"), entry.later("knify.host.recipes")
    with entry.later("knify.host.interrupts").unwinding():
        for name in names or recipes.names():
            show.line(made.build(settings, name, lambda said: show.line(said, err=True)))


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--force", is_flag=True, help="Even when Redis looks empty or rolled back.")
def gc(dry_run: bool, force: bool) -> None:
    """Remove objects that no record names and that are older than a day.

    Younger ones may belong to something that is just being made: they are not counted either.
        Run it where KNIFY_REDIS_URL, KNIFY_OBJECT_STORE and KNIFY_HOME are those of the server.
    """
    settings = entry.settings()
    collector, install = entry.later("knify.services.gc"), entry.later("knify.install")
    hints = entry.later("knify.hints")
    core = entry.later("knify.core").connect(settings, hints.RecordedHints())
    try:
        collector.check(core, install.marked(settings))
        report = collector.look(core)
        _show_garbage(report)
        if dry_run:
            return
        if report.doubt and not force:
            raise errors.ConfigError(f"{report.doubt}; --force removes them all the same")
        removed = sum(collector.remove(core).values())
        show.line(f"removed {words.count(removed, 'object')}")
    except entry.later("redis").RedisError as failed:
        raise errors.ConfigError(f"Redis does not answer: {failed}") from failed


def _show_garbage(report: Any) -> None:
    rows = [
        (kind, str(t.owned), str(t.orphans), str(t.objects), units.show_size(t.size))
        for kind, t in report.kinds.items()
    ]
    show.table(("KIND", "OWNED", "WITHOUT RECORD", "OBJECTS", "SIZE"), rows)
    for kind, tally in report.kinds.items():
        for name in tally.names:
            show.line(f"  {kind}/{name}")
    going = ", ".join(f"{n} {kind}" for kind, n in report.upcoming.items())
    show.line(f"within a day, by themselves: {going}")
    show.line("objects younger than a day are not counted: they may still get their record")
