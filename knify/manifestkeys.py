"""The keys of a task's manifest: one table, and which field of a job's request each is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from knify import hosts, profiles

#: Whoever may follow a prompt, or a command.
AGENTS: Final = ("cursor", "claude", "gemini", "codex", "runbook", "command")
MAX_PROBLEMS: Final = 20  # that are told
MAX_GUESSED: Final = 40  # characters of an unknown key, which may still be a known one misspelt


@dataclass(frozen=True, slots=True)
class Key:
    """What one key takes."""

    types: tuple[type, ...]
    of: type | None = None  # of a list's items, or of an object's values
    default: Any = None  # None: left out
    only: Any = None  # the one value that we can do
    choices: tuple[str, ...] = ()  # empty: any
    into: str | None = None  # the field of a job's request; None: the key's own name
    is_ours: bool = False  # it is no field of a job's request

    @property
    def words(self) -> str:
        """For people."""
        return " or ".join(_WORDS[kind] for kind in self.types)


Problems: TypeAlias = list[tuple[str, str]]
_WORDS: Final[dict[type, str]] = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list",
    dict: "an object",
}  # fmt: skip
_TEXT: Final = Key((str,))
_TEXTS: Final = Key((list,), of=str)
_SIZE: Final = (str, int)
_DURATION: Final = (str, int, float)
_OF_AGENTS: Final[dict[str, Key]] = {
    "prompt": _TEXT,
    "allowed_tools": _TEXTS,
    "mcp_config": Key((dict,)),
    "max_turns": Key((int,)),
    "system_prompt": _TEXT,
    "max_tokens": Key((int,)),
    "max_cost_usd": Key((int, float)),
}
TOP: Final[dict[str, Key]] = {
    "version": Key((str,), only="1"),
    "kind": Key((str,), only="Task"),
    "metadata": Key((dict,)),
    "repository": Key((dict,)),
    "claude": Key((dict,)),
    "agent": Key((dict,)),
    "vm": Key((dict,)),
    "secrets": Key((list,), of=dict),
    "lifecycle": Key((dict,)),
    "children": Key((dict,)),
}
#: The keys of each of those, with the defaults of the reference.
SECTIONS: Final[dict[str, dict[str, Key]]] = {
    "metadata": {
        "id": Key((str,), is_ours=True),
        "name": Key((str,), is_ours=True),
        "parent_id": _TEXT,
        "labels": Key((dict,), into="metadata"),
    },
    "repository": {"url": _TEXT, "branch": _TEXT, "commit": _TEXT, "subpath": _TEXT},
    "claude": {
        **_OF_AGENTS,
        "model": Key((str,), default="claude-sonnet-4-5-20250929"),
        "headless": Key((bool,), default=True, only=True, is_ours=True),
        "skip_permissions": Key((bool,), default=True, only=True, is_ours=True),
        "output_format": Key((str,), default="stream-json", only="stream-json", is_ours=True),
    },
    "agent": {
        "type": Key((str,), into="job_type", choices=AGENTS),
        **_OF_AGENTS,
        "model": _TEXT,
        "command": Key((str, list), of=str),
        "env": Key((dict,), of=str),
        "image": _TEXT,
    },
    "vm": {
        "profile": Key((str,), default=profiles.DEFAULT),  # has the next three, too
        "cpus": Key((int, float)),
        "memory": Key(_SIZE),
        "disk": Key(_SIZE),
        "network_mode": Key((str,), default="isolated", choices=hosts.MODES),
        "allowed_hosts": _TEXTS,
    },
    "secrets": {"name": _TEXT, "source": _TEXT, "key": _TEXT},
    "lifecycle": {
        "timeout": Key(_DURATION, default="24h"),
        "failure_action": Key((str,), default="destroy", choices=("destroy", "preserve")),
        "artifact_patterns": _TEXTS,
        "stage_timeout": Key(_DURATION, default="15m"),
        "provision_timeout": Key(_DURATION, default="10m"),
        "hang_timeout": Key(_DURATION, default="30m"),
    },
    "children": {
        "max_concurrent": Key((int,)),
        "wait_for_children": Key((bool,)),
        "aggregate_artifacts": Key((bool,)),
    },
}
#: Sections whose keys are fields of a job's request by themselves.
FLAT: Final = ("metadata", "claude", "agent", "vm", "lifecycle")


def checked(path: str, keys: Mapping[str, Key], written: Any) -> tuple[dict[str, Any], Problems]:
    """What an object of the manifest says; and complaints as (path, words)."""
    if not isinstance(written, dict):
        return {}, [(path, "must be an object")]
    found: dict[str, Any] = {}
    problems: Problems = []
    for name, value in written.items():
        where = f"{path}.{name[:100]}".lstrip(".")
        if name not in keys:
            if len(problems) < MAX_PROBLEMS:  # guessing what was meant takes a while
                problems.append((where, _unknown(path, name, keys)))
        else:
            words = complaint(keys[name], value)
            problems += [(where, words)] if words else []
            found[name] = value
    return found, problems


def complaint(key: Key, value: Any) -> str | None:
    """What is wrong with a value, as far as its type tells; None when nothing is."""
    number = float in key.types and type(value) is int
    if value is None:
        return f"is empty: leave it out, or give {key.words}"
    if type(value) not in key.types and not number:
        quotes = key.types == (str,) and isinstance(value, int | float)
        return f"must be {key.words}" + (': write it in quotes, "…"' if quotes else "")
    items = value.values() if isinstance(value, dict) else value
    if key.of and isinstance(value, list | dict) and any(type(one) is not key.of for one in items):
        return f"must hold {'objects' if key.of is dict else 'texts'} only"
    if key.only is not None and value != key.only:
        shown = f'"{key.only}"' if isinstance(key.only, str) else str(key.only).lower()
        return f"must be {shown} in this version"
    if key.choices and value not in key.choices:
        return f"must be one of {', '.join(key.choices)}"
    return None


def _unknown(path: str, name: str, keys: Mapping[str, Key]) -> str:
    if path.startswith("secrets.") and name == "value":
        return "a secret is named, never embedded: give name, source and key"
    if len(name) > MAX_GUESSED:
        return "unknown key"
    prefix = f"{path}." if path else ""
    near = difflib.get_close_matches(name.lower(), keys, n=1)
    elsewhere = [f"{section}.{name}" for section in FLAT if name in SECTIONS[section]]
    elsewhere += [name] if path and name in TOP else []
    if near or elsewhere:
        return f"unknown key: did you mean {prefix + near[0] if near else elsewhere[0]}?"
    return f"unknown key; known are {', '.join(sorted(keys))}"
