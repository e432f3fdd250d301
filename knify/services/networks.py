"""Use case: change what a sandbox's running job may reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knify import errors, hosts
from knify.core import Core


@dataclass(frozen=True, slots=True)
class Changed:
    """What a job may reach from now on."""

    sandbox_id: str
    job_id: str
    network_mode: str
    allowed_hosts: tuple[str, ...]


def change(core: Core, tenant: str, sandbox_id: str, wanted: Mapping[str, Any]) -> Changed:
    """Until the job's end; later jobs say in their spec what they want.

    Tunnels that are open stay. NotFound, BadRequest; Conflict when no job runs there, or one that
    was started without a gateway.
    """
    core.store.sandboxes.get(sandbox_id, tenant=tenant)
    network = hosts.read(wanted, "")
    named = ", ".join(network["allowed_hosts"])
    detail = f"Network is {network['network_mode']} now" + (f": {named}" if named else "")
    verdict, job_id = core.store.doors.change(sandbox_id, network, detail[:1_000])
    if job_id is None:
        raise errors.Conflict("no job runs in this sandbox: say it in the next job's spec")
    if verdict == "closed":
        raise errors.Conflict(
            f"{job_id} was started with network_mode isolated, so it has no way out that could be "
            "opened: start it with outbound or full"
        )
    return Changed(sandbox_id, job_id, **network)
