"""`knify keys …`: who may use this server. Needs a key with the scope admin."""

from __future__ import annotations

import click

from knify.cli import entry, jobs, show

_tenant = click.option(
    "--tenant", help="Another tenant's; only with an admin key of the tenant default."
)
_FACTS = (
    "id", "name", "tenant", "status", "mode", "scopes", "tier", "limit_per_hour", "created_at",
    "expires_at", "last_used_at", "rotated_at", "old_secret_until", "revoked_at",
)  # fmt: skip


@click.group(cls=entry.Group)
def keys() -> None:
    """Create, list, rotate and revoke API keys."""


@keys.command()
@click.option("--name", help="What it is for.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["read", "write", "admin"]),
    help="Repeat it for several. Default: read and write.",
)  # fmt: skip
@click.option("--tier", type=click.Choice(["free", "pro", "enterprise"]))
@click.option("--limit-per-hour", type=int, help="Requests; for the tier enterprise.")
@click.option("--expires-in", metavar="TIME", help="Such as 12h or 30d. Default: never.")
@click.option("--test", is_flag=True, help="knify_test_… instead of knify_live_…")
@_tenant
@jobs.json_option
def create(
    name: str | None,
    scopes: tuple[str, ...],
    tier: str | None,
    limit_per_hour: int | None,
    expires_in: str | None,
    test: bool,
    tenant: str | None,
    json_: bool,
) -> None:
    """Create a key. It is shown this once."""
    made = entry.client().create_key(
        name, scopes, tier, limit_per_hour=limit_per_hour, expires_in=expires_in,
        mode="test" if test else None, tenant=tenant,
    )  # fmt: skip
    _show_secret(made.raw, json_)


@keys.command("list")
@_tenant
@jobs.json_option
def list_(tenant: str | None, json_: bool) -> None:
    """List the newest hundred keys, without their secrets."""
    found = entry.client().list_keys(tenant=tenant)
    if json_:
        return show.as_json([key.raw for key in found])
    rows = [
        (
            key.id,
            key.name,
            ",".join(key.scopes or ()),
            key.tier,
            key.status,
            show.when(key.expires_at),
            show.when(key.last_used_at),
        )
        for key in found
    ]
    heads = ("KEY", "NAME", "SCOPES", "TIER", "STATUS", "EXPIRES", "USED")
    return show.table(heads, rows, flexible=("NAME", "SCOPES"), lesser=("TIER",))


@keys.command("show")
@click.argument("key_id")
@_tenant
@jobs.json_option
def show_(key_id: str, tenant: str | None, json_: bool) -> None:
    """Show a key, without its secret."""
    found = entry.client().key(key_id, tenant=tenant).raw
    if json_:
        return show.as_json(found)
    return show.facts({name: found.get(name) for name in _FACTS})


@keys.command()
@click.argument("key_id")
@click.option("--grace", metavar="TIME", help="How long the old secret opens, such as 1h.")
@_tenant
@jobs.json_option
def rotate(key_id: str, grace: str | None, tenant: str | None, json_: bool) -> None:
    """Give a key another secret. It is shown this once."""
    _show_secret(entry.client().rotate_key(key_id, grace, tenant=tenant).raw, json_)


@keys.command()
@click.argument("key_id")
@click.option("--force", is_flag=True, help="Even the last lasting one with the scope admin.")
@_tenant
@jobs.yes_option
@jobs.json_option
def revoke(key_id: str, force: bool, tenant: str | None, yes: bool, json_: bool) -> None:
    """Make a key useless, now and for good."""
    jobs.confirm(f"Revoke {key_id} for good?", yes=yes)
    entry.client().revoke_key(key_id, force=force, tenant=tenant)
    jobs.done({"id": key_id, "revoked": True}, f"{key_id} is revoked", json_=json_)


def _show_secret(made: dict[str, object], json_: bool) -> None:
    if json_:
        return show.as_json(made)
    # Alone on stdout, so that KEY=$(knify keys create) works.
    show.line("this key is shown only once:", err=True)
    return show.line(made.get("key", ""))
