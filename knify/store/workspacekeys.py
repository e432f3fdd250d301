"""Names of the keys of workspaces; `keys.py` says what each holds."""

from __future__ import annotations

from knify.store.keys import PREFIX


def workspace(workspace_id: str) -> str:
    """The record of a workspace version."""
    return f"{PREFIX}w:{workspace_id}"


def workspace_users(workspace_id: str) -> str:
    """Sandboxes that still have to be made from it."""
    return f"{PREFIX}w:{workspace_id}:users"


def workspace_versions(workspace_id: str) -> str:
    """Versions whose files are the object `workspaces/ID`."""
    return f"{PREFIX}w:{workspace_id}:versions"


def workspace_contents(tenant: str) -> str:
    """Which object holds a tenant's files of a digest."""
    return f"{PREFIX}t:{tenant}:wd"


def workspaces(tenant: str, name: str | None = None) -> str:
    """The index of a tenant's workspace versions: all, or of one name."""
    return f"{PREFIX}t:{tenant}:w" + (f":{name}" if name else "")
