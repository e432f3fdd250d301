"""`spec`, one schema a job type: the table of `knify/spec.py` in the words of JSON Schema."""

from __future__ import annotations

import re
from typing import Any, Final

from api.openapi import shapes
from knify import catalog, hosts, kinds, model, options, secretrefs, spec, subjects
from knify.services import jobs

#: What the server takes for each field of `spec`; `image` depends on its settings.
_WORDS: Final = {"type": "object", "additionalProperties": shapes.WORD}
_SERVER: Final = {
    "type": "object", "required": ["command"], "additionalProperties": False,
    "properties": {
        "type": shapes.WORD, "command": shapes.WORD,
        "args": {"type": "array", "items": shapes.WORD}, "env": _WORDS,
    },
}  # fmt: skip
_REMOTE: Final = {
    "type": "object", "required": ["url"], "additionalProperties": False,
    "properties": {"type": shapes.WORD, "url": shapes.WORD, "headers": _WORDS},
}  # fmt: skip


def _secret(source: str) -> dict[str, Any]:
    return {
        "type": "object", "required": ["name", "source", "key"], "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": f"^{secretrefs.VARIABLE}$"},
            "source": {"type": "string", "const": source},
            "key": {"type": "string", "maxLength": secretrefs.LONGEST,
                    "pattern": f"^(?:{secretrefs.KEYS[source]})$"},
        },
    }  # fmt: skip


FIELDS: Final[dict[str, dict[str, Any]]] = {
    "prompt": {
        "type": "string", "pattern": shapes.NOT_BLANK,  # no maxLength: nothing can make such texts
        "description": "What to do; a runbook may be `@file.md` in the workspace. At most"
        f" {spec.MAX_PROMPT:,} characters.",
    },
    "command": {
        "anyOf": [
            {"type": "string", "pattern": shapes.NOT_BLANK},
            {"type": "array", "minItems": 1, "items": shapes.WORD},
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
        "additionalProperties": shapes.WORD,
        "description": "Variables, shown by `GET`.",
    },
    "secrets": {
        "type": "array", "maxItems": secretrefs.MOST,
        "items": {"anyOf": [_secret(source) for source in secretrefs.SOURCES]},
        "description": "Variables whose values the worker reads where the command is started.",
    },
    "metadata": {
        "type": "object", "additionalProperties": True,
        "description": "Your own data, at most 16,384 characters as JSON.",
    },
    "timeout": shapes.duration() | {
        "description": "Of running: seconds, or text such as `90s`, `15m`, `24h`, `1d12h`.",
    },
    "hang_timeout": shapes.duration() | {"description": "The same, without any output."},
    "network_mode": {
        "type": "string", "enum": list(hosts.MODES),
        "description": "What it may reach: `isolated` nothing, `outbound` what `allowed_hosts` "
        "names, `full` any public host. An agent reaches its models anyway.",
    },
    "allowed_hosts": {
        "type": "array", "maxItems": hosts.MOST,
        "items": {"type": "string", "pattern": shapes.HOST},
        "description": "`NAME`, `*.NAME`, either with `:PORT` or for ports 80 and 443.",
    },
    "cpus": {
        "type": "number", "minimum": 0.01, "maximum": 1024,
        "description": "Cores; a share, it may exceed what the node has.",
    },
    "memory": shapes.size(
        16 * 1024**2, "(?:[2-9][0-9]{4}|[1-9][0-9]{5,11})",
        "(?:1[6-9]|[2-9][0-9]|[1-9][0-9]{2,8})",
    ) | {"description": "Bytes, or text such as `512M`, `8G`; 16M to 1024T."},
    "disk": shapes.size(1024**2, "(?:[2-9][0-9]{3}|[1-9][0-9]{4,11})", "[1-9][0-9]{0,8}") | {
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
    "agent": {
        "type": "string",
        "description": "Who follows the prompt: `runbook` runs it, without a model. Of a "
        "`user_exam`: who adds a summary to its report.",
    },
    "user_id": {
        "type": "string", "maxLength": subjects.MAX_USER_ID,
        "pattern": r"^[^\x00-\x1f\x7f]*[^\x00-\x1f\x7f\s][^\x00-\x1f\x7f]*$",
        "description": "As the sources have it.",
    },
    "time_range": {
        "type": "object", "required": ["from", "to"], "additionalProperties": False,
        "properties": {"from": shapes.MOMENT, "to": shapes.MOMENT},
        "description": "First and last moment, both included.",
    },
    "session_id": {
        "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$",
        "description": "A conversation of the agent's, to be gone on with.",
    },
    "allowed_tools": {
        "type": "array", "minItems": 1, "maxItems": options.MAX_TOOLS,
        "items": {"type": "string", "pattern": f"^{options.TOOL}$"},
        "description": "All that the agent may use: `write_file`, `edit_file`, `read_file`, "
        "`run_command`, `search`, `list_files`, or names of its own.",
    },
    "mcp_config": {
        "type": "object", "required": ["mcpServers"], "additionalProperties": False,
        "properties": {
            "mcpServers": {
                "type": "object", "maxProperties": options.MAX_SERVERS,
                "propertyNames": {"pattern": f"^{options.SERVER}$"},
                "additionalProperties": {"oneOf": [_SERVER, _REMOTE]},
            },
        },
        "description": "Servers of tools that run in the sandbox, or that it can reach.",
    },
    "max_turns": {
        "type": "integer", "minimum": 1, "maximum": options.MAX_TURNS,
        "description": "How many answers of its model the agent may ask for.",
    },
    "max_tokens": {
        "type": "integer", "minimum": 1, "maximum": 2**53 - 1,
        "description": "Of all model calls together, in and out; more ends the job.",
    },
    "max_cost_usd": {
        "type": "number", "exclusiveMinimum": 0, "maximum": options.MAX_COST,
        "description": "The same in US dollars, by the operator's prices.",
    },
    "system_prompt": {
        "type": "string", "pattern": shapes.NO_NUL, "maxLength": options.MAX_SYSTEM,
        "description": "Put behind the agent's own.",
    },
}  # fmt: skip
#: `allowed_hosts` means nothing without a mode that lets anything out. Not as `anyOf`: generators
#: of clients would make a class of each choice.
HOSTS_NEED_A_MODE: Final = {
    "if": {"required": ["allowed_hosts"]},
    "then": {
        "required": ["network_mode"],
        "properties": {"network_mode": {"enum": list(hosts.MODES[1:])}},
    },
}
_UUID: Final = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_IMAGE: Final = "[a-zA-Z0-9._:/@-]"
_SPECIAL = re.compile(r"[.+^$(){}|\[\]\\]")


def describe(
    document: dict[str, Any], allowed_images: tuple[str, ...], models: catalog.Catalog
) -> None:
    """Replace the schema `Spec` by one for each job type, and `TurnSpec` beside it."""
    schemas = document["components"]["schemas"]
    read = schemas.pop("Spec")["properties"]
    for suffix, hidden in (("", ()), ("Turn", jobs.FIRST_TURN_ONLY)):
        options = {}
        for kind in spec.available():
            fields = read | of_type(kind, allowed_images, models)
            name = _camel(kind) + suffix
            schemas[name] = _object(kind, fields, hidden, models)
            options[kind] = f"#/components/schemas/{name}"
        schemas[f"{suffix}Spec"] = {
            "oneOf": [{"$ref": ref} for ref in options.values()],
            "discriminator": {"propertyName": "job_type", "mapping": options},
        }
    body = schemas["NewJob"]
    turn = body["properties"] | {"spec": {"$ref": "#/components/schemas/TurnSpec"}}
    schemas["NewTurn"] = body | {"properties": turn}


def of_type(
    kind: str, allowed_images: tuple[str, ...], models: catalog.Catalog
) -> dict[str, dict[str, Any]]:
    """What one type takes for each field."""
    return FIELDS | {"image": image(allowed_images)} | _own(kind, models)


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


def _served(kind: str, models: catalog.Catalog) -> list[str]:
    """What `model` may be; of a type that is led, for any of the agents."""
    agents = spec.agents(spec.JOB_TYPES[kind])
    return sorted(
        {name for agent in agents or ["none"] for name in models.of(model.actor(kind, agent))}
    )


def _own(kind: str, models: catalog.Catalog) -> dict[str, Any]:
    """What this type takes for fields that others have, too."""
    own: dict[str, Any] = {"job_type": {"type": "string", "enum": [kind]}}
    if served := _served(kind, models):
        own["model"] = {"type": "string", "enum": served}
    if spec.JOB_TYPES[kind].has_uuids:
        own["session_id"] = FIELDS["session_id"] | {"format": "uuid", "pattern": _UUID}
    if credential := spec.credential(kind):
        names = FIELDS["env"]["propertyNames"] | {"not": {"const": credential}}
        own["env"] = FIELDS["env"] | {"propertyNames": names}
    if agents := spec.agents(spec.JOB_TYPES[kind]):
        own["agent"] = FIELDS["agent"] | {"enum": agents}
    if kinds.BROWSER in spec.services(kind):
        near = {"type": "string", "pattern": f"^(?:{spec.NEAR})?$"}
        own["env"] = FIELDS["env"] | {"properties": {kinds.BROWSER_URL: near}}
    return own


def _led(kind: str, models: catalog.Catalog) -> dict[str, Any]:
    """The agents' fields need an agent that has them."""
    choices = []
    fields = spec.JOB_TYPES[kind].led
    for name in spec.agents(spec.JOB_TYPES[kind])[1:]:
        actor = model.actor(kind, name)
        own: dict[str, Any] = dict.fromkeys(sorted(fields - spec.led(kind, actor)), False)
        own |= {"agent": {"const": name}, "model": {"enum": sorted(models.of(actor))}}
        choices.append({"properties": own})
    return {
        "if": {"anyOf": [{"required": [name]} for name in sorted(fields)]},
        "then": {"required": ["agent"], "anyOf": choices},
    }


def _object(
    kind: str, fields: dict[str, Any], hidden: tuple[str, ...], models: catalog.Catalog
) -> dict[str, Any]:
    job_type = spec.JOB_TYPES[kind]
    also = {"allOf": [_led(kind, models)]} if job_type.led else {}
    return (
        {
            "type": "object",
            "required": ["job_type", *sorted(job_type.required)],
            "properties": {name: fields[name] for name in sorted(job_type.known - set(hidden))},
            "additionalProperties": False,
        }
        | HOSTS_NEED_A_MODE
        | also
    )


def _camel(kind: str) -> str:
    return "".join(word.capitalize() for word in kind.split("_"))
