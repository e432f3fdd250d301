"""Whether this service can run jobs, and if not, why."""

from __future__ import annotations

from typing import Any

import redis

from api import errors as api_errors
from api.health.probe import Probe
from knify.core import Core


def readiness(core: Core, objects: Probe) -> dict[str, str]:
    """`ok` or the reason, for each thing that jobs need; no reason names an address."""
    nodes, disk = _nodes(core)
    said = {"redis": _redis(core), "object_store": objects.look()}
    return said | {"nodes": nodes, "disk": disk}


def require_ready(core: Core, objects: Probe) -> dict[str, Any]:
    """The answer of a service that can run jobs; NotReady with the reasons."""
    checks = readiness(core, objects)
    broken = [f"{name}: {text}" for name, text in checks.items() if text != "ok"]
    if broken:
        raise api_errors.NotReady(f"not ready: {'; '.join(broken)}", detail=checks)
    return {"status": "ok", "checks": checks}


def _redis(core: Core) -> str:
    try:
        core.store.registry.ping()
        is_full = core.store.registry.is_full()
    except redis.RedisError:
        return "does not answer"
    return "has no memory left (maxmemory)" if is_full else "ok"


def _nodes(core: Core) -> tuple[str, str]:
    """The nodes, and their disks: one that still takes jobs is enough."""
    try:
        found = core.store.registry.nodes()
    except redis.RedisError:
        return "not known without redis", "not known without redis"
    low = [facts.get("low_disk") for facts in found.values()]
    disk = "; ".join(map(str, low)) if low and all(low) else "ok"
    if not found:
        return "no worker has said that it lives", disk
    if not any(facts.get("podman") == "ok" for facts in found.values()):
        return "podman does not answer on any node", disk
    return "ok", disk
