"""Fetches the Python packages of an image recipe, by the pip and the configuration of this host."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from knify import errors

_SECONDS = 900
# glibc's versions from CentOS 7's, which the oldest wheels ask for, to Debian 12's.
_GLIBC = range(17, 37)


def into(folder: Path, requirements: Path, python: str) -> None:
    """Unpack the wheels that `requirements` names, each by its version, into `folder`.

    `python`: the version of the image's own Python, like 3.11. SandboxError says what pip said.
    """
    machine = platform.machine()
    tags = ["manylinux1", "manylinux2014", *(f"manylinux_2_{minor}" for minor in _GLIBC)]
    argv = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--no-deps", "--no-compile", "--root-user-action=ignore"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
        *(f"--platform={tag}_{machine}" for tag in tags),
        *("--target", str(folder), "--requirement", str(requirements)),
    ]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as slow:
        raise errors.SandboxError(f"fetching packages took longer than {_SECONDS} s") from slow
    if done.returncode != 0:
        raise errors.SandboxError(f"pip failed: {_reason(done.stderr)}")


def _reason(said: str) -> str:
    """What pip calls an error, or else its last words."""
    lines = [line for line in said.splitlines() if line.strip()]
    return " / ".join([line for line in lines if line.startswith("ERROR")][:3] or lines[-3:])
