"""A task's manifest: the table of `knify/manifestkeys.py` in the words of JSON Schema."""

from __future__ import annotations

from typing import Any, Final

from api.openapi import shapes, specs
from api.openapi.operations import JSON
from api.tasks import reading
from knify import catalog, families, manifest, manifestkeys, profiles, repositories, spec
from knify.manifestkeys import SECTIONS

REF: Final = {"$ref": "#/components/schemas/Manifest"}
_METADATA: Final[dict[str, Any]] = {
    "id": {
        "type": "string", "pattern": f"^{manifest.ID}$", "not": {"enum": list(manifest.RESERVED)},
        "description": "Your own, unique within the tenant; else one is made.",
    },
    "name": {"type": "string", "pattern": f"^{manifest.NAME}$", "maxLength": manifest.MAX_NAME},
    "parent_id": {
        "type": "string", "pattern": f"^{manifest.ID}$",
        "description": "Of a task that has not ended: this one is a child of it.",
    },
    "labels": {
        "type": "object", "maxProperties": manifest.MAX_LABELS,
        "propertyNames": {"minLength": 1, "maxLength": manifest.MAX_KEY},
        "additionalProperties": {
            "type": ["string", "number", "boolean"], "maxLength": manifest.MAX_VALUE
        },
        "description": "The first eight find it, as `label.KEY=VALUE`.",
    },
}  # fmt: skip
#: Loosely: what git and resolvers allow in them is for no schema.
_REPOSITORY: Final[dict[str, Any]] = {
    "url": {
        "type": "string", "pattern": "^[hH][tT][tT][pP][sS]://",
        "description": "Of a public host, or of one that the operator named; without a login.",
    },
    "branch": {"type": "string", "minLength": 1, "maxLength": repositories.MAX_BRANCH},
    "commit": {"type": "string", "pattern": "^(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$"},
    "subpath": {
        "type": "string", "minLength": 1, "maxLength": repositories.MAX_SUBPATH,
        "description": "The folder in which the command starts.",
    },
}  # fmt: skip
_LIFECYCLE: Final[dict[str, Any]] = {
    "stage_timeout": shapes.duration() | {"description": "Of checking what it needs."},
    "provision_timeout": shapes.duration() | {"description": "Of putting its files in."},
}
_HEAD: Final = ("version", "kind")
#: Who does it: claude, with a repository, or agent.
_NEEDS: Final = {
    "if": {"required": ["agent"]},
    "then": {"not": {"required": ["claude"]}},
    "else": {"required": ["claude", "repository"]},
}
_EXAMPLE: Final = {
    "version": "1",
    "kind": "Task",
    "metadata": {"name": "Hello", "labels": {"team": "platform"}},
    "agent": {"type": "command", "command": "echo hello | tee hello.txt"},
}


def describe(
    document: dict[str, Any],
    allowed_images: tuple[str, ...],
    models: catalog.Catalog,
    known: profiles.Profiles,
) -> None:
    """Add the schema, and make it the body of a submission."""
    schemas = document["components"]["schemas"]
    claude = specs.of_type("claude_task", allowed_images, models)
    sections = {
        "metadata": _object(_METADATA, "name"),
        "repository": _object(_REPOSITORY, "url"),
        "claude": _object(_section("claude", claude), "prompt"),
        "agent": _agents(schemas, allowed_images, models),
        "vm": _vm(known),
        "lifecycle": _lifecycle(),
        "children": _children(),
        "secrets": specs.FIELDS["secrets"],
    }
    head: dict[str, Any] = {
        name: {"type": "string", "enum": [manifestkeys.TOP[name].only]} for name in _HEAD
    }
    whole = _object(head | sections, *_HEAD, "metadata")
    schemas["Manifest"] = whole | _NEEDS
    body = document["paths"]["/api/v1/tasks"]["post"]
    languages = (JSON, *reading.YAML[:2])
    content: dict[str, Any] = {kind: {"schema": REF} for kind in languages}
    content[JSON] = {"schema": REF, "example": _EXAMPLE}
    body["requestBody"] = {"required": True, "content": content}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": sorted(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _section(section: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Each key as the field of a job's request that it is, with its own default."""
    found = {}
    for name, key in SECTIONS[section].items():
        known = fields.get(key.into or name, {})
        if key.only is not None:
            kind = "boolean" if isinstance(key.only, bool) else "string"
            known = {"type": kind, "enum": [key.only]}
        elif key.choices:
            words = {k: v for k, v in known.items() if k == "description"}
            known = {"type": "string", "enum": list(key.choices)} | words
        found[name] = known | ({"default": key.default} if key.default is not None else {})
    return found


def _vm(known: profiles.Profiles) -> dict[str, Any]:
    profile: dict[str, Any] = {"type": "string", "enum": sorted(known)}
    fields = _section("vm", {**specs.FIELDS, "profile": profile})
    return _object(fields) | specs.HOSTS_NEED_A_MODE


def _lifecycle() -> dict[str, Any]:
    return _object(_section("lifecycle", specs.FIELDS | _LIFECYCLE))


def _children() -> dict[str, Any]:
    most = {"type": "integer", "minimum": 1, "maximum": families.MOST}
    return _object(
        {
            "max_concurrent": most | {"description": "That are at work at a time."},
            "wait_for_children": {
                "type": "boolean",
                "default": False,
                "description": "The task ends behind the last of them.",
            },
            "aggregate_artifacts": {
                "type": "boolean",
                "default": False,
                "description": "Their artifacts are in its list, below `children/<id>/`.",
            },
        }
    )


def _agents(
    schemas: dict[str, Any], allowed_images: tuple[str, ...], models: catalog.Catalog
) -> dict[str, Any]:
    """One schema for each type."""
    refs = {}
    for kind in manifestkeys.AGENTS:
        job_type = spec.JOB_TYPES[f"{kind}_task"]
        fields = specs.of_type(f"{kind}_task", allowed_images, models)
        own = {n: fields[n] for n in SECTIONS["agent"] if n in job_type.known}
        own["type"] = {"type": "string", "enum": [kind]}
        name = f"{kind.capitalize()}Agent"
        schemas[name] = _object(dict(sorted(own.items())), "type", *job_type.required)
        refs[kind] = f"#/components/schemas/{name}"
    return {
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "type", "mapping": refs},
    }
