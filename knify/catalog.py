"""Which models each agent serves: the documented names, and the operator's table.

The table (`KNIFY_MODELS_FILE`, YAML or JSON) says, for each job type, what a name in a spec is for
the agent's own program:

    cursor_task:
      team-default: gpt-5
      sonnet-4.5: sonnet-4.5-thinking
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from knify import errors, tables

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
_DOCUMENTED = ("auto", "sonnet-4.5", "opus-4.1", "composer-1", "gpt-5")


@dataclass(frozen=True, slots=True)
class Catalog:
    """For each job type: a model's name in a spec, and what its agent calls it."""

    names: Mapping[str, Mapping[str, str]]

    def of(self, job_type: str) -> Mapping[str, str]:
        """What one type's agent serves; empty when it has no models."""
        return self.names.get(job_type, {})


#: Cursor's own program knows all names as they are. The other agents serve their vendor's; an empty
#: name leaves the choice to them.
DOCUMENTED: Final = Catalog(
    {
        "cursor_task": {name: name for name in _DOCUMENTED},
        "claude_task": {
            "auto": "",
            "sonnet-4.5": "claude-sonnet-4-5",
            "claude-sonnet-4-5-20250929": "claude-sonnet-4-5-20250929",  # that of manifests
            "opus-4.1": "claude-opus-4-1",
            "opus": "opus",
            "sonnet": "sonnet",
            "haiku": "haiku",
        },
        "gemini_task": {
            "auto": "",
            "gemini-2.5-pro": "gemini-2.5-pro",
            "gemini-2.5-flash": "gemini-2.5-flash",
        },
        "codex_task": {"auto": "", "gpt-5": "gpt-5"},
    }
)


def load(path: Path | None) -> Catalog:
    """The documented names, with the operator's table over them. ConfigError."""
    if path is None:
        return DOCUMENTED
    table = _read(path)
    unknown = sorted(set(table) - set(DOCUMENTED.names))
    if unknown:
        raise _wrong(f"{unknown[0]} is no job type whose models can be chosen")
    return Catalog(
        {
            kind: {**names, **_checked(kind, table.get(kind))}
            for kind, names in DOCUMENTED.names.items()
        }
    )


def _read(path: Path) -> dict[str, Any]:
    found = tables.read(path, _wrong)
    if not isinstance(found, dict):
        raise _wrong("must be a table of job types")
    return found


def _checked(kind: str, names: Any) -> dict[str, str]:
    if names is None:
        return {}
    if not isinstance(names, dict):
        raise _wrong(f"{kind} must be a table of names")
    for pair in names.items():
        for word in pair:
            if not isinstance(word, str) or not _NAME.fullmatch(word):
                raise _wrong(f"{kind}: {word!r} cannot be a model's name")
    return dict(names)


def _wrong(why: str) -> errors.ConfigError:
    return errors.ConfigError(f"KNIFY_MODELS_FILE {why}")
