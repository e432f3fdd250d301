"""Where a build gets packages from: what the operator set, else how this host's own clients do."""

from __future__ import annotations

import os
import shutil
import subprocess

_BUILD_ARGS = ("APT_SOURCES", "NPM_CONFIG_REGISTRY", "KNIFY_CURSOR_INSTALL")
_SECONDS = 30


def given(declared: set[str]) -> dict[str, str]:
    """Build arguments for a recipe that declares these: each goes only where it is asked for."""
    found = {name: os.environ[name] for name in _BUILD_ARGS if os.environ.get(name)}
    if "NPM_CONFIG_REGISTRY" in declared - set(found):
        found["NPM_CONFIG_REGISTRY"] = _npm_registry()
    return {name: value for name, value in found.items() if name in declared and value}


def _npm_registry() -> str:
    """This host's npm's own registry; empty without npm: then the image's npm has its default."""
    if shutil.which("npm") is None:
        return ""
    argv = ["npm", "config", "get", "registry"]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    value = said.stdout.strip()
    return value if said.returncode == 0 and value.startswith(("https://", "http://")) else ""
