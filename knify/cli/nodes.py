"""`knify nodes …`: the Podman hosts. Needs a key with the scope admin."""

from __future__ import annotations

import click

from knify.cli import entry, jobs, show


@click.group(cls=entry.Group)
def nodes() -> None:
    """List nodes, keep new work off one, and drain one before it goes."""


@nodes.command("list")
@jobs.json_option
def list_(json_: bool) -> None:
    """List the nodes: state, jobs, idle sandboxes, and how far a draining one is."""
    found = entry.client().nodes()
    if json_:
        return show.as_json([row.raw for row in found])
    names = ("name", "state", "slots", "active", "paused", "hot", "waiting", "archived", "removals")
    rows = [[row.get(name) for name in names] for row in found]
    return show.table([name.upper() for name in names], rows, flexible=("NAME",))


@nodes.command()
@click.argument("name")
@jobs.json_option
def drain(name: str, json_: bool) -> None:
    """Take no new sandbox there, let its jobs end, and archive its idle sandboxes.

    It stays so until `undrain`, whatever is restarted. `knify nodes list` shows when it is drained.
    """
    found = entry.client().drain_node(name)
    text = f"{name}: {found.active} jobs to end, {found.paused} sandboxes to move"
    jobs.done(found.raw, text, json_=json_)


@nodes.command()
@click.argument("name")
@jobs.json_option
def undrain(name: str, json_: bool) -> None:
    """Take sandboxes there again."""
    found = entry.client().drain_node(name, on=False)
    jobs.done(found.raw, f"{name} takes sandboxes again", json_=json_)


@nodes.command()
@click.argument("name")
@jobs.json_option
def cordon(name: str, json_: bool) -> None:
    """Take no new sandbox there, and leave there what is there.

    It stays so until `uncordon`, whatever is restarted. To empty the node, drain it.
    """
    found = entry.client().cordon_node(name)
    text = f"{name}: takes no new sandboxes; {found.active} jobs and {found.paused} sandboxes stay"
    jobs.done(found.raw, text, json_=json_)


@nodes.command()
@click.argument("name")
@jobs.json_option
def uncordon(name: str, json_: bool) -> None:
    """Take sandboxes there again."""
    found = entry.client().cordon_node(name, on=False)
    jobs.done(found.raw, f"{name} takes sandboxes again", json_=json_)


@nodes.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Lose its idle sandboxes with it.")
@jobs.yes_option
@jobs.json_option
def forget(name: str, force: bool, yes: bool, json_: bool) -> None:
    """Forget a node that is not to come back, once its worker is stopped for a minute.

    It is not listed as away any more, and no alert asks for it. Refused while it has jobs or
    sandboxes: start it and drain it, or use --force when the machine is gone for good.
    """
    if force:
        jobs.confirm(f"Forget {name}, and lose the sandboxes that live there?", yes=yes)
    entry.client().forget_node(name, force=force)
    jobs.done({"name": name, "forgotten": True}, f"{name} is forgotten", json_=json_)
