"""Looks at this host once, for all of doctor's checks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from knify import errors
from knify import settings as settings_module
from knify.host import facts, podman, probe


@dataclass(frozen=True, slots=True)
class Host:
    """What was found out."""

    settings: settings_module.Settings
    root: bool
    facts: facts.HostFacts | None
    no_facts: str  # why there are no facts
    info: dict[str, Any]  # `podman info`; empty when Podman does not work


def look(settings: settings_module.Settings) -> Host:
    """Ask Podman, and measure the facts unless they are saved."""
    root = os.geteuid() == 0
    found, reason = None, "only root can measure it"
    try:
        found = probe.facts_or_probe(settings) if root else facts.load(probe.facts_file())
    except errors.KnifyError as failed:
        reason = failed.message
    return Host(settings, root, found, reason, podman.info())
