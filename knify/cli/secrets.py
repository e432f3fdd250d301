"""`knify secrets …`: what jobs may name. Values come from stdin or are asked for."""

from __future__ import annotations

import sys

import click

from knify.cli import entry, jobs, show


@click.group(cls=entry.Group)
def secrets() -> None:
    """Keep secrets for jobs, list and delete them."""


@secrets.command("set")
@click.argument("name")
@jobs.json_option
def set_(name: str, json_: bool) -> None:
    """Keep a value, from stdin or asked for: `knify secrets set NAME < file`.

    A line feed at its end does not count.
    """
    kept = entry.client().set_secret(name, _value(name)).raw
    return show.as_json(kept) if json_ else show.line(f"{name} is kept")


@secrets.command("list")
@jobs.json_option
def list_(json_: bool) -> None:
    """List the secrets, without their values."""
    found = entry.client().list_secrets()
    if json_:
        return show.as_json([one.raw for one in found])
    rows = [(one.name, show.when(one.created_at), show.when(one.updated_at)) for one in found]
    return show.table(("NAME", "CREATED", "CHANGED"), rows, flexible=("NAME",))


@secrets.command()
@click.argument("name")
@jobs.yes_option
@jobs.json_option
def delete(name: str, yes: bool, json_: bool) -> None:
    """Delete a secret: jobs that name it and have not started fail."""
    jobs.confirm(f"Delete the secret {name} for good?", yes=yes)
    entry.client().delete_secret(name)
    jobs.done({"name": name, "deleted": True}, f"{name} is gone", json_=json_)


def _value(name: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"Value of {name}", hide_input=True, err=True))
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")
