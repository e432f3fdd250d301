"""`spec`, one schema a job type: the table of `knify/spec.py` in the words of JSON Schema."""

from __future__ import annotations

import re
from typing import Any, Final

from knify import spec
from knify.services import jobs

#: Sizes in text; the range as digits, since a schema cannot compare them. A fraction is allowed.
_UNIT: Final = r"(?:\.[0-9]{1,6})?\s*(?:%s)[iI]?[bB]?"
_NO_NUL: Final = r"^[^\u0000]*$"
_WORD: Final = {"type": "string", "pattern": _NO_NUL}


def _size(least: int, kilo: str, mega: str) -> dict[str, Any]:
    ranges = [kilo + _UNIT % "[kK]", mega + _UNIT % "[mM]"]
    ranges += ["[1-9][0-9]{0,5}" + _UNIT % "[gG]", "[1-9][0-9]{0,2}" + _UNIT % "[tT]"]
    text = {"type": "string", "pattern": f"^(?:{'|'.join(ranges)})$"}
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": 2**50}, text]}


def _duration() -> dict[str, Any]:
    parts = r"(?:[0-9]{1,3}d)?(?:[0-9]{1,4}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,8}(?:\.[0-9]{1,6})?s)?"
    plain = r"[0-9]{1,8}(?:\.[0-9]{1,6})?"
    text = {"type": "string", "pattern": f"^(?=[^1-9]*[1-9])(?:{parts}|{plain})$"}
    number = {"type": "number", "exclusiveMinimum": 0, "maximum": 315_360_000}
    return {"anyOf": [number, text]}


#: What the server takes for each field of `spec`; `image` depends on its settings.
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "prompt": {
        "type": "string", "minLength": 1, "maxLength": spec.MAX_PROMPT,
        "description": "What to do; a runbook may be `@file.md` in the workspace.",
    },
    "command": {
        "anyOf": [
            _WORD | {"minLength": 1},
            {"type": "array", "minItems": 1, "items": _WORD},
        ],
        "description": "Text is run by `sh -c`, a list as it is.",
    },
    "workspace_path": {
        "type": "string",
        "pattern": "^(?:/workspaces/)?[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:@[0-9]{1,9})?$",
        "description": "An uploaded workspace, or one of its versions; it must exist.",
    },
    "env": {
        "type": "object", "maxProperties": spec.MAX_ENV,
        "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
        "additionalProperties": _WORD,
        "description": "Variables, shown by `GET`.",
    },
    "metadata": {
        "type": "object", "additionalProperties": True,
        "description": "Your own data, at most 16,384 characters as JSON.",
    },
    "timeout": _duration() | {
        "description": "Of running: seconds, or text such as `90s`, `15m`, `24h`, `1d12h`.",
    },
    "hang_timeout": _duration() | {"description": "The same, without any output."},
    "network_mode": {"type": "string", "enum": ["isolated"]},
    "cpus": {
        "type": "number", "minimum": 0.01, "maximum": 1024,
        "description": "Cores; a share, it may exceed what the node has.",
    },
    "memory": _size(
        16 * 1024**2, "(?:[2-9][0-9]{4}|[1-9][0-9]{5,11})",
        "(?:1[6-9]|[2-9][0-9]|[1-9][0-9]{2,8})",
    ) | {"description": "Bytes, or text such as `512M`, `8G`; 16M to 1024T."},
    "disk": _size(1024**2, "(?:[2-9][0-9]{3}|[1-9][0-9]{4,11})", "[1-9][0-9]{0,8}") | {
        "description": "Bytes, or text such as `512M`, `8G`; 1M to 1024T.",
    },
    "artifact_patterns": {
        "type": "array",
        "items": {
            "type": "string",
            "pattern": r"^(?!/)(?!(?:[\s\S]*/)?\.\.(?:/|$))[\s\S]+$",
        },
        "description": "Globs relative to `/workspace`, without `..`; `**` crosses folders.",
    },
    "priority": {"type": "integer", "minimum": -10, "maximum": 10},
}  # fmt: skip
_IMAGE: Final = "[a-zA-Z0-9._:/@-]"
_SPECIAL = re.compile(r"[.+^$(){}|\[\]\\]")


def describe(document: dict[str, Any], allowed_images: tuple[str, ...]) -> None:
    """Replace the schema `Spec` by one for each job type, and `TurnSpec` beside it."""
    schemas = document["components"]["schemas"]
    read = schemas.pop("Spec")["properties"]
    fields = {name: FIELDS.get(name, read.get(name, {})) for name in _known()}
    fields["image"] = image(allowed_images)
    for suffix, hidden in (("", ()), ("Turn", jobs.FIRST_TURN_ONLY)):
        options = {}
        for kind, job_type in spec.JOB_TYPES.items():
            name = _camel(kind) + suffix
            schemas[name] = _object(kind, job_type, fields, hidden)
            options[kind] = f"#/components/schemas/{name}"
        schemas[f"{suffix}Spec"] = {
            "oneOf": [{"$ref": ref} for ref in options.values()],
            "discriminator": {"propertyName": "job_type", "mapping": options},
        }
    body = schemas["NewJob"]
    turn = body["properties"] | {"spec": {"$ref": "#/components/schemas/TurnSpec"}}
    schemas["NewTurn"] = body | {"properties": turn}


def image(allowed: tuple[str, ...]) -> dict[str, Any]:
    """An image that the operator allows; a node must have it."""
    texts = [_pattern(glob) for glob in allowed]
    return {
        "type": "string",
        "maxLength": 255,
        "pattern": f"^(?:{'|'.join(texts)})$",
        "description": f"With its tag. Allowed here: {', '.join(allowed)}.",
    }


def _pattern(glob: str) -> str:
    words = {"*": f"{_IMAGE}*", "?": _IMAGE}
    first = "[a-z0-9]" if glob[:1] in words else ""
    rest = glob.removeprefix("?") if first else glob
    return first + "".join(words.get(letter) or _SPECIAL.sub(r"\\\g<0>", letter) for letter in rest)


def _known() -> list[str]:
    return list(dict.fromkeys(f for kind in spec.JOB_TYPES.values() for f in sorted(kind.fields)))


def _object(
    kind: str, job_type: spec.JobType, fields: dict[str, Any], hidden: tuple[str, ...]
) -> dict[str, Any]:
    names = [name for name in fields if name in job_type.fields and name not in hidden]
    return {
        "type": "object",
        "required": ["job_type", *sorted(job_type.required)],
        "properties": {name: fields[name] for name in names}
        | {"job_type": {"type": "string", "enum": [kind]}},
        "additionalProperties": False,
    }


def _camel(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_"))
