"""What bodies accept beyond their fields' JSON types, where that is decided by code."""

from __future__ import annotations

import re
from typing import Any, Final

from api.openapi import operations, shapes, specs
from api.projects import schemas as projects
from knify.services import keys, schedules, webhooks

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

_TAGS: Final = {
    "type": ["array", "null"],
    "maxItems": projects.MAX_TAGS,
    "items": {"type": "string", "pattern": f"^{projects.TAG}$"},
}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Null takes a field back."""
    return {"anyOf": [schema, {"type": "null"}]}


#: What a job of a project may hold of a command's spec.
_SHORT: Final = {
    (name, field): _or_null(specs.FIELDS[field])
    for name in ("NewProjectJob", "ProjectJobChanges")
    for field in schedules.SHORT
    if field != "image"
}
#: Properties whose values are checked after their type.
PROPERTIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("NewKey", "expires_at"): _MOMENT,
    ("NewKey", "expires_in"): shapes.duration(),
    ("Extension", "expires_in"): shapes.duration(30 * 86_400),
    ("NewWebhook", "url"): _URL,
    ("NewWebhook", "events"): _EVENTS,
    ("NewWebhook", "secret"): _SECRET,
    ("Network", "network_mode"): specs.FIELDS["network_mode"],
    ("Network", "allowed_hosts"): specs.FIELDS["allowed_hosts"],
    ("Changes", "url"): _URL,
    ("Changes", "events"): _EVENTS,
    ("Changes", "secret"): _SECRET,
    **_SHORT,
    ("NewProjectJob", "tags"): _TAGS,
    ("ProjectJobChanges", "tags"): _TAGS,
    ("NewRun", "command"): specs.FIELDS["command"],
    ("NewRun", "env"): specs.FIELDS["env"],
    ("Rotation", "grace"): shapes.duration(keys.LONGEST_GRACE, least=0),
}
_LINE: Final = {
    "type": "object",
    "description": "One of the job's own lines, with `raw`.",
    "required": ["n", "stream", "line", "timestamp"],
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "stream": {"type": "string", "enum": ["stdout", "stderr"]},
        "line": {"type": "string"},
        "timestamp": _MOMENT,
    },
    "additionalProperties": False,
}
#: Rules about several properties at once.
RULES: Final[dict[str, dict[str, Any]]] = {
    # Either a spec, or a command with what may stand beside it.
    "NewProjectJob": {
        "if": {"required": ["spec"]},
        "then": {"properties": dict.fromkeys(schedules.SHORT, False)},
        "else": {"required": ["command"]},
    },
    "Network": specs.HOSTS_NEED_A_MODE,
    "NewKey": {
        "not": {"required": ["expires_at", "expires_in"]},
        # The other tiers have a limit of their own.
        "if": {"required": ["limit_per_hour"]},
        "then": {"properties": {"tier": {"enum": ["enterprise"]}}},
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
    found["RawLine"] = _LINE
    either = [{"$ref": f"#/components/schemas/{name}"} for name in ("OutputEvent", "RawLine")]
    found["Output"]["properties"]["events"]["items"] = {"anyOf": either}
    found["NewToken"] = _new_token(document, found["NewToken"]["properties"])
    for name, rule in RULES.items():
        if name in found:
            found[name] |= rule


def _new_token(document: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Either a path, or a job and which of its streams."""
    job = {"job_id": known["job_id"], "stream": known["stream"]}
    forms = [("job_id", job), ("path", {"path": _stream_path(document)})]
    return {
        "oneOf": [
            {
                "type": "object",
                "required": [needed],
                "properties": fields,
                "additionalProperties": False,
            }
            for needed, fields in forms
        ]
    }


def _stream_path(document: dict[str, Any]) -> dict[str, Any]:
    """The path of any stream, and its query."""
    streams = [o.path for o in operations.walk(document) if o.is_stream or o.is_websocket]
    paths = [re.sub(r"{[^}]+}", "[A-Za-z0-9_-]{1,100}", path) for path in streams]
    query = r"(?:\?[A-Za-z0-9_.=&-]{0,200})?"
    return {"type": "string", "pattern": f"^(?:{'|'.join(paths)}){query}$"}
