"""Looks at this host once, for all of doctor's checks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knify import errors
from knify import settings as settings_module
from knify.host import facts, images, podman, probe, recipes, service


@dataclass(frozen=True, slots=True)
class Host:
    """What was found out."""

    settings: settings_module.Settings
    root: bool
    facts: facts.HostFacts | None
    no_facts: str  # why there are no facts
    info: dict[str, Any]  # `podman info`; empty when Podman does not work
    service: Path | None = None  # the operator's Podman, where only its socket is here

    def has_image(self, name: str) -> bool:
        """Whether it is in Podman's store."""
        if self.service:
            return service.labels(self.service, name) is not None
        return images.exists(name)

    def is_current(self, recipe: str) -> bool:
        """Whether a recipe's image is there and made from the recipe as it is now."""
        if self.service is None:
            return images.current(recipe)
        found = service.labels(self.service, f"{recipes.PREFIX}{recipe}:latest")
        if found is None or not recipes.shipped():
            return found is not None
        return found.get(images.RECIPE_LABEL) == recipes.load(recipe).digest()


def look(settings: settings_module.Settings) -> Host:
    """Ask Podman, and measure the facts unless they are saved."""
    root = os.geteuid() == 0
    found, reason = None, "only root can measure it"
    try:
        found = probe.facts_or_probe(settings) if root else facts.load(probe.facts_file())
    except errors.KnifyError as failed:
        reason = failed.message
    sock = _service(settings)
    info = podman.info() if sock is None else service.info(sock)
    return Host(settings, root, found, reason, info, sock)


def runs_none(settings: settings_module.Settings) -> bool:
    """Whether this is a container of a part that starts no sandboxes, such as the API's."""
    bare = settings.podman_url is None and not podman.installed()
    # Podman sets the variable always, and makes its file only in a root that can be written.
    return bare and ("container" in os.environ or Path("/.dockerenv").exists())


def _service(settings: settings_module.Settings) -> Path | None:
    url = settings.podman_url or ""
    if not url.startswith("unix://") or podman.installed():
        return None
    return Path(url.removeprefix("unix://"))
