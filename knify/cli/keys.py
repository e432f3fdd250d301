"""`knify keys …`: who may use this server. Needs a key with the scope admin."""

from __future__ import annotations

import click

from knify.cli import entry, jobs, show


@click.group(cls=entry.Group)
def keys() -> None:
    """Create, list and revoke API keys."""


@keys.command()
@click.option("--name", help="What it is for.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["read", "write", "admin"]),
    help="Repeat it for several. Default: read and write.",
)  # fmt: skip
@click.option("--tier", type=click.Choice(["free", "pro", "enterprise"]))
@jobs.json_option
def create(name: str | None, scopes: tuple[str, ...], tier: str | None, json_: bool) -> None:
    """Create a key. It is shown this once."""
    made = entry.client().create_key(name, scopes, tier)
    if json_:
        return show.as_json(made.raw)
    # Alone on stdout, so that KEY=$(knify keys create) works.
    show.line("this key is shown only once:", err=True)
    return show.line(made.key or "")


@keys.command("list")
@jobs.json_option
def list_(json_: bool) -> None:
    """List the keys, without their secrets."""
    found = entry.client().list_keys()
    if json_:
        return show.as_json([row.raw for row in found])
    rows = [
        (
            key.id,
            key.name,
            ", ".join(key.scopes or ()),
            key.tier,
            key.created_at,
            key.revoked_at,
        )
        for key in found
    ]
    return show.table(("KEY", "NAME", "SCOPES", "TIER", "CREATED", "REVOKED"), rows)


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Make a key useless, now and for good."""
    entry.client().revoke_key(key_id)
    show.line(f"{key_id} is revoked")
