"""Image recipes: the folders of deploy/images, each with a Containerfile."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from knify import errors

PREFIX = "localhost/knify/"
BASE_TAG = f"{PREFIX}base:latest"
OWN = ("base", "agents", "e2e", "data")  # also where no recipe was shipped

_PROJECT = Path(__file__).resolve().parents[2]
_BASE_ARG = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_ANY_ARG = re.compile(r"^ARG (\w+)", re.MULTILINE)
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,40}$")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One folder of deploy/images."""

    name: str
    folder: Path

    @property
    def tag(self) -> str:
        """The image that it makes."""
        return f"{PREFIX}{self.name}:latest"

    @property
    def containerfile(self) -> str:
        """The Containerfile's text."""
        return (self.folder / "Containerfile").read_text()

    @property
    def arguments(self) -> set[str]:
        """The build arguments that it declares."""
        return set(_ANY_ARG.findall(self.containerfile))

    @property
    def base(self) -> str:
        """The image that it stands on; `KNIFY_BASE_FROM` names another for the base image."""
        found = _BASE_ARG.search(self.containerfile)
        if found is None:
            raise errors.ConfigError(f"{self.folder}/Containerfile has no ARG BASE=…")
        return (os.environ.get("KNIFY_BASE_FROM") if self.name == "base" else "") or found[1]

    @property
    def parent(self) -> str | None:
        """The name of the recipe that it stands on; None when that is a foreign image."""
        base = self.base
        ours = base.startswith(PREFIX) and base != self.tag
        return base.removeprefix(PREFIX).partition(":")[0] if ours else None

    @property
    def packages(self) -> list[str]:
        """The Debian packages to bootstrap it from; none when it cannot be."""
        path = self.folder / "packages"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    @property
    def requirements(self) -> Path | None:
        """The Python packages that its build finds in python/; None when it needs none."""
        path = self.folder / "requirements.txt"
        return path if path.is_file() else None

    def digest(self) -> str:
        """A hash of all that goes in: when it differs from an image's label, that one is old."""
        hashed = hashlib.sha256(f"{platform.machine()} {self.base}".encode())
        for path in [*sorted(self.folder.rglob("*")), *certificates()]:
            if path.is_file():
                hashed.update(f"\0{path.name}\0".encode() + path.read_bytes())
        if self.parent:
            hashed.update(load(self.parent).digest().encode())
        return hashed.hexdigest()[:16]


def load(name: str) -> Recipe:
    """The recipe of that name. Raises ConfigError when there is none."""
    folder = _PROJECT / "deploy" / "images" / name
    if not _NAME.match(name) or not (folder / "Containerfile").is_file():
        raise errors.ConfigError(f"no image recipe {name!r} in {folder.parent}")
    return Recipe(name, folder)


def shipped() -> bool:
    """Whether recipes are here at all: a wheel installed without the checkout has none."""
    return bool(names())


def names() -> list[str]:
    """All recipes, sorted."""
    found = (_PROJECT / "deploy" / "images").glob("*/Containerfile")
    return sorted(path.parent.name for path in found)


def certificates() -> list[Path]:
    """The operator's private CAs: local-ca/*.crt, which git ignores."""
    return sorted((_PROJECT / "local-ca").glob("*.crt"))
