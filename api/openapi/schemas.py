"""What bodies accept beyond their fields' JSON types, where that is decided by code."""

from __future__ import annotations

from typing import Any, Final

from api.openapi import specs
from knify.services import keys, webhooks

_EVENTS: Final = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "enum": list(webhooks.EVENTS)},
}
#: What begins with `whsec_` goes on in base64, as Standard Webhooks have it.
_SECRET: Final = {
    "type": "string",
    "minLength": 8,
    "maxLength": 200,
    "pattern": "^(?:whsec_(?:[A-Za-z0-9+/]{4})+|(?!whsec_)[ -~]+)$",
}
_URL: Final = {
    "type": "string",
    "maxLength": 2048,
    "pattern": r"^https?://[^\s\\@]+$",
    "description": "Its host must have public addresses, unless the operator allows others.",
}
_MOMENT: Final = {"type": "string", "format": "date-time"}

#: Properties whose values are checked after their type.
PROPERTIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("NewKey", "expires_at"): _MOMENT,
    ("NewKey", "expires_in"): specs.duration(),
    ("NewWebhook", "url"): _URL,
    ("NewWebhook", "events"): _EVENTS,
    ("NewWebhook", "secret"): _SECRET,
    ("Changes", "url"): _URL,
    ("Changes", "events"): _EVENTS,
    ("Changes", "secret"): _SECRET,
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
