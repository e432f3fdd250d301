"""Names in paths, checked before any of them reaches Redis."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from knify import errors, manifest

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TASK = re.compile(manifest.ID)  # its user's own choice


def check(values: Mapping[str, Any] | None) -> None:
    """NotFound for an id that no id can look like."""
    for name, value in (values or {}).items():
        if name == "task_id":
            if not _TASK.fullmatch(value):
                raise errors.TaskNotFound(f"no task {value[:200]}")
        elif name.endswith("_id") and not _ID.fullmatch(value):
            raise errors.NotFound(f"no {name.removesuffix('_id')} {value[:200]}")
