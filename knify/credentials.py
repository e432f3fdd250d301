"""What agents sign in with: the operator's keys, out of this process's own environment.

They are read where a job is started and nowhere else. No record, spec, message or log holds one;
what an agent prints of its own key is replaced before it is stored.
"""

from __future__ import annotations

import os
from collections.abc import Collection

from knify import errors, spec


def of(job_type: str) -> dict[str, str]:
    """The variables that this type's agent needs; empty for one that needs none, or has none."""
    name = spec.credential(job_type)
    value = os.environ.get(name, "").strip() if name else ""
    return {name: value} if name and value else {}


def configured(providers: Collection[str] = ()) -> list[str]:
    """The job types whose agents can sign in from here; `providers`: those that the gateway can."""
    return [
        name
        for name in spec.available()
        if (spec.credential(name) and of(name)) or spec.provider(name) in providers
    ]


def names() -> set[str]:
    """All variables that hold a credential: for workers only."""
    return {name for known in spec.available() if (name := spec.credential(known))}


def check(job_type: str) -> None:
    """Raise AgentNotConfigured unless this process has what the type needs."""
    name = spec.credential(job_type)
    if name and not of(job_type):
        raise errors.AgentNotConfigured(f"this node has no {name}, which {job_type} needs")
