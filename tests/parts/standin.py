"""An image in which stand-ins for agents are installed: the base image and a script for each."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knify import settings
from knify.host import images, podman

PROGRAMS = Path(__file__).parents[1] / "standin"


@contextmanager
def image(programs: Path = PROGRAMS) -> Iterator[str]:
    """The image's name; it is removed in the end. `programs`: what it has in its path."""
    base = settings.load({}).base_image
    assert images.exists(base), "run `make setup` first"
    name = f"localhost/knify/test-agents:{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="kn-standin-") as folder:
        shutil.copytree(programs, Path(folder) / "bin")
        recipe = Path(folder) / "Containerfile"
        recipe.write_text(f"FROM {base}\nCOPY bin/ /usr/local/bin/\n")
        options = ("--pull=never", "--layers=false", "--tag", name)
        built = podman.call("build", *options, folder, timeout=120)
    assert built.ok, built.err
    try:
        yield name
    finally:
        podman.call("rmi", "--force", name, timeout=60)
