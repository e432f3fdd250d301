"""Which image a job gets."""

from __future__ import annotations

from typing import Final

from knify import errors, model, profiles, spec
from knify.core import Core
from knify.host import recipes

#: Types for which the base image does nearly as well: their programs may be in any image.
_OPTIONAL: Final = frozenset({"agents"})
_NONE: Final = profiles.Profile("")


def choose(core: Core, wanted: model.ExecutionSpec) -> str | None:
    """The named one, its profile's, or the one for its type; None for the base image.

    ImageMissing when no living node has it; without any node the job simply waits.
    """
    profile = core.profiles.get(wanted.profile or "", _NONE)
    named = wanted.image or (profile.image and spec.tagged(profile.image))
    recipe = None if named else profile.recipe or spec.image(wanted.job_type)
    if not named and recipe is None:
        return None
    for ask in (core.store.registry.recent_nodes, core.store.registry.nodes):
        nodes = ask()  # it may have come to a node in this moment
        there = {name for facts in nodes.values() for name in facts.get("images", ())}
        image = named if recipe is None else _of_recipe(core, recipe, there)
        if image and (not nodes or image in there):
            return image
    if image:
        raise errors.ImageMissing(
            f"no node has the image {image}; {_cure(image)}", detail={"field": "spec.image"}
        )
    return None


def _cure(image: str) -> str:
    name = image.removeprefix(recipes.PREFIX).removesuffix(":latest")
    is_ours = f"{recipes.PREFIX}{name}:latest" == image and name in recipes.OWN
    return f"run `knify images build {name}` on one" if is_ours else "load it there with podman"


def _of_recipe(core: Core, recipe: str, there: set[str]) -> str | None:
    """The operator's own for this recipe, or ours."""
    configured: str | None = getattr(core.settings, f"{recipe}_image")
    if configured:
        return spec.tagged(configured)
    ours = f"{recipes.PREFIX}{recipe}:latest"
    return ours if ours in there or recipe not in _OPTIONAL else None
