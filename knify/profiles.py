"""Profiles: an image and defaults under one name, ours and the operator's.

The table (`KNIFY_PROFILES_FILE`, YAML or JSON) adds names, or says what one of ours is here:

    heavy:
      image: localhost/team/heavy:1
      cpus: 16
      memory: 32G
      disk: 100G

What it leaves out is that of `agentic-dev`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from knify import errors, fields, model, tables

GIB: Final = 1024**3
DEFAULT: Final = "agentic-dev"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/@-]{0,254}")
_KEYS: Final = frozenset({"image", "cpus", "memory", "disk"})


@dataclass(frozen=True, slots=True)
class Profile(model.Record):
    """What a task gets unless it says otherwise."""

    name: str
    image: str | None = None  # None: that of the recipe
    recipe: str | None = None  # None: the one of the job's type, or the base image
    resources: model.Resources = field(default_factory=model.Resources)


Profiles = Mapping[str, Profile]

#: Those that are everywhere. The figures of the first are the reference's defaults.
OURS: Final[Profiles] = {
    DEFAULT: Profile(
        DEFAULT,
        recipe="agents",
        resources=model.Resources(cpus=4.0, memory=8 * GIB, disk=40 * GIB),
    ),
    "basic": Profile("basic"),
}


def load(path: Path | None) -> Profiles:
    """Ours, with the operator's table over them. ConfigError."""
    if path is None:
        return OURS
    table = tables.read(path, _wrong)
    if not isinstance(table, dict):
        raise _wrong("must be a table of profiles")
    return {**OURS, **{name: _profile(name, row) for name, row in table.items()}}


def find(known: Profiles, name: str, field: str = "vm.profile") -> Profile:
    """One of them. BadRequest names the nearest."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name[:64], known, n=1)
    hint = f"did you mean {near[0]}? Use one of" if near else "use one of"
    message = f"no profile {name[:64]!r}: {hint} {', '.join(sorted(known))}"
    raise errors.BadRequest(message, detail={"field": field})


def _profile(name: Any, row: Any) -> Profile:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _wrong(f"{name!r} cannot be a profile's name")
    if not isinstance(row, dict) or not set(row) <= _KEYS:
        raise _wrong(f"{name} must be a table of {', '.join(sorted(_KEYS))}")
    image = row.get("image")
    if image is not None and not (isinstance(image, str) and _IMAGE.fullmatch(image)):
        raise _wrong(f"{name}.image must look like registry/name:tag")
    base = OURS.get(name, OURS[DEFAULT])
    try:
        resources = fields.resources(row, base.resources)
    except (errors.BadRequest, TypeError, AttributeError) as failed:
        raise _wrong(f"{name}: {failed}") from failed
    return Profile(name, image, None if image else base.recipe, resources)


def _wrong(why: str) -> errors.ConfigError:
    return errors.ConfigError(f"KNIFY_PROFILES_FILE {why}")
