"""Programs of ours that run in sandboxes: some modules as one file that Python runs."""

from __future__ import annotations

import importlib.resources
import io
import zipfile
from collections.abc import Collection
from typing import Final

_START: Final = (
    "import sys\nfrom {package} import {module}\nsys.exit({module}.main(*sys.argv[1:]))\n"
)
_SHARED: Final = ("shown.py",)  # of `knify.agents`, in all of them
_STAMP: Final = (2026, 1, 1, 0, 0, 0)  # the same bytes each time


def program(package: str, module: str, *, without: Collection[str] = ()) -> bytes:
    """`module.main` with the command's arguments; all modules of the package but `without`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, _STAMP), data)

        add("__main__.py", _START.format(package=package, module=module).encode())
        add("knify/__init__.py", b"")
        add("knify/agents/__init__.py", b"")
        agents = importlib.resources.files("knify.agents")
        for name in _SHARED:
            add(f"knify/agents/{name}", agents.joinpath(name).read_bytes())
        for part in importlib.resources.files(package).iterdir():
            if part.name.endswith(".py") and part.name not in without:
                add(f"{package.replace('.', '/')}/{part.name}", part.read_bytes())
    return held.getvalue()
