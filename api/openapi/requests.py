"""The parameters of requests: ids, headers and lists, by rules over all operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from api.jobs import schemas, view
from api.openapi import shapes
from api.openapi.operations import JSON, SSE, Operation
from api.projects import schemas as projects
from knify import lifecycle, manifest, secretrefs

#: Those that take an Idempotency-Key without the decorator of `api/idempotency.py`.
IDEMPOTENT: Final = ("create_job", "continue_job")


def _some_of(values: Iterable[str]) -> dict[str, Any]:
    """A list with commas."""
    items = {"type": "string", "enum": list(values)}
    schema = {"type": "array", "minItems": 1, "items": items}
    return {"style": "form", "explode": False, "schema": schema}


def _pairs(name: str) -> dict[str, Any]:
    """Filters by what users call their records."""
    return {
        "style": "form",
        "explode": True,
        "description": f"Each as `{name}.KEY=VALUE`; a key has at most 64 characters.",
        "schema": {
            "type": "object",
            "maxProperties": schemas.MAX_FILTERS,
            "propertyNames": {"pattern": rf"^{name}\.[\s\S]{{1,64}}$"},
            "additionalProperties": {"type": "string"},
        },
    }


_TIME: Final = {"type": "string", "format": "date-time"}
_WINDOW: Final = {"since": {"anyOf": [_TIME, shapes.AGO]}, "start": _TIME, "end": _TIME}
_AFTER: Final = {"schema": {"type": "string", "pattern": r"^(?:0|[0-9]{1,18}\.[0-9]{1,18})?$"}}
#: Query parameters that a plain schema cannot describe.
QUERY: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("list_jobs", "status"): _some_of(view.STATES_OF),
    ("list_jobs", "before"): {
        "schema": {
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]{1,16}$"},
                {
                    "type": "string",
                    "maxLength": 128,
                    "pattern": "^[A-Za-z0-9_.-]*[A-Za-z_.-][A-Za-z0-9_.-]*$",
                },
            ]
        },
    },
    ("list_tasks", "state"): _some_of(lifecycle.State),
    ("list_tasks", "label"): _pairs("label"),
    ("get_task_logs", "since"): {
        "schema": {"anyOf": [{"type": "string", "format": "date-time"}, shapes.AGO]}
    },
    ("list_jobs", "metadata"): _pairs("metadata"),
    **{
        (operation, name): {"schema": schema}
        for operation in ("get_project_job_logs", "get_run_logs", "get_project_job_metrics")
        for name, schema in _WINDOW.items()
    },
    ("list_project_jobs", "tags"): {
        "style": "form",
        "explode": False,
        "schema": {
            "type": "array",
            "minItems": 1,
            "maxItems": projects.MAX_TAGS,
            "items": {"type": "string", "pattern": f"^{projects.TAG}$"},
        },
    },
    ("stream_task", "task_id"): {"schema": {"type": "string", "pattern": f"^{manifest.ID}$"}},
    ("stream_task", "after"): _AFTER,
    ("use_task_shell", "after"): _AFTER,
}

_ID: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"}
#: Those that users choose.
_NAMES: Final = {
    "task_id": {"type": "string", "pattern": f"^{manifest.ID}$"},
    "secret_name": {"type": "string", "pattern": f"^{secretrefs.NAME}$"},
}
_REF: Final = "#/components/parameters/"
IDEMPOTENCY_KEY: Final = f"{_REF}Idempotency-Key"
_POSITION: Final = r"^(?:[0-9]{1,18})?$"  # empty: from the start
_DOTTED: Final = r"^(?:[0-9]{1,18}(?:\.[0-9]{1,9})?)?$"


def describe(document: dict[str, Any]) -> None:
    """Add the shared parameters to the components, and X-Request-Id to every path."""
    document["components"]["parameters"] = dict(_SHARED)
    for item in document["paths"].values():
        item.setdefault("parameters", []).append({"$ref": f"{_REF}X-Request-Id"})


def finish(operation: Operation) -> None:
    """What the route's own schemas do not say."""
    _path(operation)
    if operation.doc.pop("x-idempotent", False) or operation.id in IDEMPOTENT:
        operation.parameters.append({"$ref": IDEMPOTENCY_KEY})
        replayed = {"$ref": "#/components/headers/Idempotent-Replayed"}
        operation.success()[1].setdefault("headers", {})["Idempotent-Replayed"] = replayed
    if operation.is_stream:
        _stream(operation)
    if "206" in operation.responses:
        _file(operation)
    if {"page", "limit"} <= set(operation.query()) and not operation.is_of_projects:
        _list(operation)
    for name, parameter in operation.query().items():
        parameter.update(QUERY.get((operation.id, name), {}))
    if operation.id == "continue_job":
        turn = {"schema": {"$ref": "#/components/schemas/NewTurn"}}
        operation.doc["requestBody"]["content"][JSON] = turn


def _path(operation: Operation) -> None:
    known = [p for p in operation.parameters if p.get("in") != "path"]
    schemas = {p["name"]: p["schema"] for p in operation.parameters if p.get("in") == "path"}
    for name in operation.in_path:
        own = _ID if name.endswith("_id") else schemas.get(name, {}) | _text(name)
        schema = _NAMES.get(name, own)
        known.append({"in": "path", "name": name, "required": True, "schema": schema})
    operation.doc["parameters"] = known


def _text(name: str) -> dict[str, Any]:
    words = {"path": "A file's path; its slashes may stand as they are."}.get(name)
    found = {"type": "string", "minLength": 1}
    return found | {"description": words} if words else found


def _stream(operation: Operation) -> None:
    dotted = "raw" in operation.query()
    schema = {"type": "string", "pattern": _DOTTED if dotted else _POSITION}
    operation.responses["200"]["content"][SSE]["schema"] = {
        "type": "object",
        "description": "Each event.",
        "required": ["id", "data"],
        "properties": {
            "id": schema | {"description": "Send it as `Last-Event-ID` to go on behind it."},
            "data": {
                "type": "string",
                "contentMediaType": JSON,
                "contentSchema": {"type": "object"},
            },
        },
    }
    words = "The id of the last event seen; what is behind it follows."
    operation.parameters.append(
        {"in": "header", "name": "Last-Event-ID", "description": words, "schema": schema}
    )
    operation.query()["after"].update(schema=schema, description=f"{words} The header counts more.")
    operation.responses["204"] = {"description": "Nothing follows that id: do not connect again."}


def _file(operation: Operation) -> None:
    for name in ("Range", "If-Range", "If-None-Match"):
        operation.parameters.append({"$ref": f"{_REF}{name}"})
    for status in ("200", "206", "304"):
        headers = operation.responses[status].setdefault("headers", {})
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
        if status != "304":
            name = "Content-Disposition"
            headers[name] = {"$ref": f"#/components/headers/{name}"}
    partial = operation.responses["206"]["headers"]
    partial["Content-Range"] = {"$ref": "#/components/headers/Content-Range"}


def _list(operation: Operation) -> None:
    """A bare array, or a page when either parameter was sent."""
    answer = operation.responses["200"]
    array = answer["content"][JSON]["schema"]
    page = {
        "type": "object",
        "required": ["data", "pagination"],
        "properties": {"data": array, "pagination": {"$ref": "#/components/schemas/Pagination"}},
        "additionalProperties": False,
    }
    answer["content"][JSON]["schema"] = {"anyOf": [array, page]}
    more = ("X-Next-Before",) if "before" in operation.query() else ()
    for name in ("X-Total-Count", "Link", *more):
        answer.setdefault("headers", {})[name] = {"$ref": f"#/components/headers/{name}"}


PAGINATION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["page", "limit", "total", "pages"],
    "properties": {
        "page": {"type": "integer", "minimum": 1},
        "limit": {"type": "integer", "minimum": 1},
        "total": {"type": "integer", "minimum": 0},
        "pages": {"type": "integer", "minimum": 0},
        "total_is_estimate": {"type": "boolean", "description": "when `total` is not exact"},
    },
    "additionalProperties": False,
}

_SHARED: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "in": "header", "name": "X-Request-Id", "schema": {"type": "string"},
        "description": "Comes back in the answer if it is 1 to 64 letters, digits, `.`, `_`, `-`;"
        " any other is replaced.",
    },
    "Idempotency-Key": {
        "in": "header", "name": "Idempotency-Key",
        "schema": {"type": "string", "pattern": "^[!-~](?:[ -~]{0,253}[!-~])?$"},
        "description": "The same key, path and body give the first answer again for 24 h.",
    },
    "Range": {
        "in": "header", "name": "Range", "schema": {"type": "string"}, "example": "bytes=0-1023",
        "description": "One range of bytes; anything else gets the whole file.",
    },
    "If-Range": {
        "in": "header", "name": "If-Range", "schema": {"type": "string"},
        "description": "The `ETag` that the range is of; the whole file when it changed.",
    },
    "If-None-Match": {
        "in": "header", "name": "If-None-Match", "schema": {"type": "string"},
        "description": "The `ETag` that you have; 304 while it is current.",
    },
}  # fmt: skip
