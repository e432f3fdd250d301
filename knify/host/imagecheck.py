"""Whether the images are there that jobs get unless they name one."""

from __future__ import annotations

from knify.host import recipes, survey
from knify.host.check import SETUP, Check


def check_base(host: survey.Host) -> Check:
    """The image of all jobs that need nothing more."""
    name = host.settings.base_image
    if not host.has_image(name):
        return Check("base image", "failure", f"{name} is missing", SETUP)
    if name == recipes.BASE_TAG and not host.is_current("base"):
        return Check("base image", "warning", f"{name} is older than its recipe", SETUP)
    return Check("base image", "ok", name)


def check_others(host: survey.Host) -> Check:
    """Those of agents, browser tests and data: who needs none of them need not build them."""
    own = {name: getattr(host.settings, f"{name}_image") for name in recipes.OWN if name != "base"}
    missing = [image for image in own.values() if image and not host.has_image(image)]
    if missing:
        cure = "load them with podman, or leave the settings out"
        return Check("job images", "failure", f"{', '.join(missing)}: not here", cure)
    built = [name for name, image in own.items() if not image]
    there = [name for name in built if host.has_image(f"{recipes.PREFIX}{name}:latest")]
    old = [name for name in there if not host.is_current(name)]
    if old:
        cure = f"run `knify images build {' '.join(old)}`"
        return Check("job images", "warning", f"older than their recipes: {', '.join(old)}", cure)
    lacking = [name for name in built if name not in there]
    message = f"here: {', '.join(name for name in own if name not in lacking) or 'none'}"
    if lacking:
        message += f"; `knify images build {' '.join(lacking)}` where jobs need them"
    return Check("job images", "ok", message)
