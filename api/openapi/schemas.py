"""What bodies accept beyond their fields' JSON types, where that is decided by code."""

from __future__ import annotations

from typing import Any, Final

from api.openapi import specs
from knify.services import keys

_MOMENT: Final = {"type": "string", "format": "date-time"}

#: Properties whose values are checked after their type.
PROPERTIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("NewKey", "expires_at"): _MOMENT,
    ("NewKey", "expires_in"): specs.duration(),
    ("Rotation", "grace"): specs.duration(keys.LONGEST_GRACE, least=0),
}
#: Rules about several properties at once.
RULES: Final[dict[str, dict[str, Any]]] = {
    "NewKey": {"not": {"required": ["expires_at", "expires_in"]}},
    "NewToken": {
        "oneOf": [
            {"required": ["path"], "not": {"required": ["stream"]}},
            {"required": ["job_id"]},
        ]
    },
}


def describe(document: dict[str, Any]) -> None:
    """Put both into the components."""
    found = document["components"]["schemas"]
    for (name, field), schema in PROPERTIES.items():
        if name in found:
            kept = found[name]["properties"][field]
            words = {k: kept[k] for k in ("description",) if k in kept}
            found[name]["properties"][field] = schema | words
    for name, rule in RULES.items():
        if name in found:
            found[name] |= rule
