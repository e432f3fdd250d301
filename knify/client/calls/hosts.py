"""Where jobs run: nodes and sandboxes; and whether the server can run any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def nodes() -> Call[list[records.Node]]:
    """All nodes: state, jobs, idle sandboxes. Needs the scope `admin`."""
    return base.get("/nodes", answers.many(records.Node, "nodes"))


def drain_node(name: str, *, on: bool = True) -> Call[records.Node]:
    """Let no new sandbox come to a node and archive its idle ones; `on=False` undoes it."""
    path = base.path("nodes", name, "drain" if on else "undrain")
    return base.do(path, answers.one(records.Node))


def cordon_node(name: str, *, on: bool = True) -> Call[records.Node]:
    """Let no new sandbox come to a node and leave its own there; `on=False` undoes it."""
    path = base.path("nodes", name, "cordon" if on else "uncordon")
    return base.do(path, answers.one(records.Node))


def forget_node(name: str, *, force: bool = False) -> Call[None]:
    """Forget a node that is not to come back; `force`: its idle sandboxes are lost with it."""
    return base.delete(base.path("nodes", name), base.nothing, force=force or None)


def sandboxes(
    *, orphans: bool = False, page: int | None = None, limit: int | None = None
) -> Call[list[records.Sandbox]]:
    """Sandboxes, newest first. `orphans`: what Podman has and Redis does not know (admin)."""
    only = True if orphans else None
    parse = answers.many(records.Sandbox)
    return base.get("/sandboxes", parse, orphans=only, page=page, limit=limit)


def sandbox(sandbox_id: str) -> Call[records.Sandbox]:
    """A sandbox, and the jobs that run or wait in it."""
    return base.get(base.path("sandboxes", sandbox_id), answers.one(records.Sandbox))


def archive_sandbox(sandbox_id: str) -> Call[None]:
    """Move an idle sandbox to the object store soon; continuing it restores it anywhere."""
    return base.do(base.path("sandboxes", sandbox_id, "archive"), base.nothing)


def extend_sandbox(sandbox_id: str, expires_in: str | float | None = None) -> Call[records.Sandbox]:
    """Keep an idle sandbox for so long from now on: seconds or `7d`; None: as long as may be."""
    path = base.path("sandboxes", sandbox_id, "extend")
    body = {} if expires_in is None else {"expires_in": expires_in}
    return Call("POST", path, answers.one(records.Sandbox), body=body, harmless=True)


def change_network(
    sandbox_id: str, network_mode: str, allowed_hosts: Sequence[str] | None = None
) -> Call[dict[str, Any]]:
    """What the sandbox's running job may reach from now on, until its end; what is so now."""
    path = base.path("sandboxes", sandbox_id, "network")
    body: dict[str, Any] = {"network_mode": network_mode}
    if allowed_hosts is not None:
        body["allowed_hosts"] = list(allowed_hosts)
    return Call("PATCH", path, base.record, body=body, harmless=True)


def health() -> Call[records.Health]:
    """That the server answers, and its version."""
    return base.get("/api/v1/health", answers.one(records.Health))


def ready() -> Call[records.Readiness]:
    """Whether jobs can run now, and if not, why; never an error for that."""
    parse = answers.readiness
    return Call("GET", "/api/v1/health/ready", parse, answers=frozenset({503}))
