"""A prompt on its way into an agent's stdin, where no length is too much."""

from __future__ import annotations

import itertools
import re

from knify import errors
from knify.agents import base

_IMAGES = ("png", "jpg", "jpeg", "gif", "webp")
_MOST_IMAGES = 20
_NAMED = re.compile(r"(?<!\S)@([^\s@]+)")


def plain(text: str) -> bytes:
    """The prompt, never a command of the agent's own: those begin with a slash."""
    return (f" {text}" if text.startswith("/") else text).encode("utf-8", "replace")


def images(text: str, workspace: base.WorkspaceReader) -> tuple[str, ...]:
    """The images of the workspace that it names as `@path`, for agents that want them apart."""
    named = (found.rstrip(".,;:!?)\"'").removeprefix("./") for found in _NAMED.findall(text))
    images_ = [path for path in named if path.lower().rpartition(".")[2] in _IMAGES]
    there = (path for path in dict.fromkeys(images_) if _is_there(path, workspace))
    return tuple(itertools.islice(there, _MOST_IMAGES))


def _is_there(path: str, workspace: base.WorkspaceReader) -> bool:
    if path.startswith(("/", "-")) or ".." in path.split("/"):
        return False
    try:
        workspace(path)
    except errors.TooLarge:
        return True
    except (errors.KnifyError, OSError):
        return False
    return True
