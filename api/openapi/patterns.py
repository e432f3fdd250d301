"""Regular expressions of Python's in the words of JSON Schema."""

from __future__ import annotations

from typing import Any


def normalise(node: Any) -> None:
    """Every `pattern` below matches the whole text, as the validators here do.

    They match from the start and end with `\\Z`; JSON Schema searches anywhere and knows no `\\Z`.
    """
    if isinstance(node, list):
        for item in node:
            normalise(item)
    elif isinstance(node, dict):
        for bound in ("minimum", "maximum"):  # of fields whose type the library does not know
            if f"x-{bound}" in node:
                node[bound] = node.pop(f"x-{bound}")
        if isinstance(node.get("pattern"), str):
            node["pattern"] = whole(node["pattern"]).replace("\\Z", "$")
        for item in node.values():
            normalise(item)


def whole(pattern: str) -> str:
    """The same expression between `^` and `$`."""
    if pattern.startswith("^") and pattern.endswith("$"):
        return pattern
    inner = pattern.removeprefix("^").removesuffix("\\Z").removesuffix("$")
    return f"^(?:{inner})$" if pattern.endswith(("\\Z", "$")) else f"^(?:{inner})"
