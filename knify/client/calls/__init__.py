"""Every request that a client can make, as a value with the way to read its answer."""

from knify.client.calls import (
    access,
    base,
    hosts,
    jobs,
    output,
    projects,
    secrets,
    tasks,
    webhooks,
    workspaces,
)

__all__ = [
    "access",
    "base",
    "hosts",
    "jobs",
    "output",
    "secrets",
    "projects",
    "tasks",
    "webhooks",
    "workspaces",
]
