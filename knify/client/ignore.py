"""Which of a folder's files are no part of its workspace: by name, and by its `.knifyignore`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from knify.client import errors

FILE: Final = ".knifyignore"
#: What no job wants: a repository's history, virtual environments (their programs lead out of the
#: folder), caches, and what `knify run` fetched. `!NAME` in the file takes one of them along.
#: `node_modules` goes along: a sandbox has no network to install it from.
DEFAULTS: Final = (".git", ".venv", "__pycache__", "knify-job_*/")

#: Whether a path of the folder, with a slash behind a folder's, is left out.
Rules: TypeAlias = Callable[[str], bool]


def rules(folder: Path) -> Rules:
    """The rules of a folder, as git understands them. WorkspaceInvalid for a file of no rules."""
    # The import takes as long as packing a small folder, and not every command packs one.
    import pathspec

    try:
        spec = pathspec.GitIgnoreSpec.from_lines((*DEFAULTS, *_lines(folder / FILE)))
    except ValueError as wrong:
        raise errors.WorkspaceInvalid(f"{folder / FILE}: {wrong}") from wrong
    return spec.match_file


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        return []
    try:
        return os.fsdecode(file.read_bytes()).splitlines()
    except OSError as failed:
        raise errors.WorkspaceInvalid(f"{file} cannot be read: {failed.strerror}") from failed
