"""What each operation may answer besides success: by rules, and by what only its handler knows."""

from __future__ import annotations

import http
from collections.abc import Iterator
from typing import Any, Final

from api import errors as api_errors
from api.openapi import requests
from api.openapi.operations import JSON, Operation
from knify import errors

#: Statuses that follow from what a handler does, not from the shape of its request.
MORE: Final[dict[str, tuple[int, ...]]] = {
    "create_job": (507,),
    "continue_job": (410, 507),
    "clean_up_job": (409,),
    "delete_job": (409,),
    "create_stream_token": (404,),
    "create_webhook": (409,),
    "test_webhook": (409,),
    "redeliver": (409,),
    "revoke_key": (409,),
    "rotate_key": (409,),
    "upload_workspace": (429, 507),
    "delete_workspace": (409,),
    "get_artifacts": (410,),
    "download_artifact": (410,),
    "download_all_artifacts": (410,),
    "archive_sandbox": (409,),
    "extend_sandbox": (409, 410),
    "change_network": (409,),
    "submit_task": (507,),
    "cancel_task": (409,),
    "stream_task": (404,),
    "open_task_shell": (409, 410),
    "use_task_shell": (409,),
    "create_project_job": (507,),
    "change_project_job": (409, 507),
    "put_project_job": (409, 507),
    "trigger_run": (507,),
    "cancel_run": (409,),
    "list_task_artifacts": (410,),
    "download_task_artifact": (410,),
    "get_ready": (503,),
}
#: Errors of processes other than the API; none reaches a client.
_INNER: Final = (
    "LEASE_LOST", "ILLEGAL_TRANSITION", "CONFIG_ERROR", "STORE_NEWER", "NODE_FULL", "NODE_BUSY",
    "SANDBOX_RUNS", "GATEWAY_AWAY", "RETRY_GONE",
)  # fmt: skip
_NAMES: Final = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound",
    408: "RequestTimeout", 409: "Conflict",
    410: "Gone", 413: "TooLarge", 415: "UnsupportedMediaType", 416: "RangeNotSatisfiable",
    422: "Unprocessable", 429: "TooManyRequests", 500: "InternalError", 503: "Unavailable",
    507: "InsufficientStorage",
}  # fmt: skip
#: What each error status means.
WHEN: Final = {
    400: "A field, a query parameter or a header is wrong; `detail.field` names it.",
    401: "No key, or none that is valid.",
    403: "The key lacks the scope.",
    404: "No such thing, or another tenant's.",
    408: "The body did not come in time.",
    409: "The state of the thing does not allow this.",
    410: "It was kept for its time and is gone.",
    413: "The body is larger than this server takes.",
    415: "The body's content type is not understood.",
    416: "The range lies behind the file's end.",
    422: "The Idempotency-Key was used with another body.",
    429: "Too many requests with this key.",
    500: "A bug here; `detail.request_id` finds it in the log.",
    503: "Redis or the object store is away, or nothing can run now.",
    507: "No living node could ever hold what was asked for, or storage is full.",
}
OF_TASKS: Final = "Task"  # in names of what only the Tasks API answers
OF_PROJECTS: Final = "Project"  # the same of the Projects API
NDJSON: Final = "application/x-ndjson"
_REQUEST_ID: Final = {"$ref": "#/components/headers/X-Request-Id"}
_LIMITS: Final = {
    f"X-RateLimit-{name}": {"$ref": f"#/components/headers/X-RateLimit-{name}"}
    for name in ("Limit", "Remaining", "Reset")
}
_RETRY: Final = {"$ref": "#/components/headers/Retry-After"}


def describe(document: dict[str, Any]) -> None:
    """Add the schema and the answer of each error status to the components."""
    components = document["components"]
    components["headers"] = dict(_HEADERS)
    components["responses"] = {}
    for status, name in _NAMES.items():
        if not codes(status):
            continue
        forms = {
            "": _schema(status),
            OF_TASKS: _schema_of_tasks(status),
            OF_PROJECTS: _schema_of_projects(status),
        }
        for prefix, schema in forms.items():
            components["schemas"][f"{prefix}{name}Error"] = schema
            components["responses"][f"{prefix}{name}"] = _answer(status, f"{prefix}{name}")
    components["schemas"].pop("Error", None)
    components["schemas"].pop("PaginationMetadata", None)


def finish(operation: Operation) -> None:
    """List every status that this operation can answer; its successes carry their headers."""
    found = {s: a for s, a in operation.responses.items() if s[0] in "123"}
    for text, answer in found.items():
        answer.setdefault("description", http.HTTPStatus(int(text)).phrase)
        for kind, media in answer.get("content", {}).items():
            if kind.startswith("application/") and kind not in (JSON, NDJSON):
                media["schema"] = {"type": "string", "format": "binary"}
        answer["headers"] = {"X-Request-Id": _REQUEST_ID} | answer.get("headers", {})
        if not operation.is_public:
            answer["headers"] |= _LIMITS
    prefix = OF_TASKS if api_errors.of_tasks(operation.path) else ""
    prefix = OF_PROJECTS if operation.is_of_projects else prefix
    for status in sorted(set(_statuses(operation))):
        found[str(status)] = {"$ref": f"#/components/responses/{prefix}{_NAMES[status]}"}
    operation.doc["responses"] = dict(sorted(found.items()))


def _statuses(operation: Operation) -> Iterator[int]:
    yield 500
    if not operation.is_public:
        yield from (401, 403, 429, 503)
    if operation.in_path:
        yield 404
    if operation.query() or "requestBody" in operation.doc or operation.is_stream:
        yield 400
    if "requestBody" in operation.doc:
        yield from (408, 413, 415)
    if "206" in operation.responses:
        yield 416
    if {"$ref": requests.IDEMPOTENCY_KEY} in operation.parameters:
        yield from (400, 409, 422)
    yield from MORE.get(operation.id, ())


def _schema(status: int) -> dict[str, Any]:
    """The envelope, with the codes that this status may carry."""
    return {
        "type": "object",
        "description": WHEN[status],
        "required": ["error", "detail", "code"],
        "properties": {
            "error": {"type": "string", "description": "for people"},
            "detail": {"description": "context, such as the field's path"},
            "code": {"type": "string", "enum": codes(status), "description": "for programs"},
        },
        "additionalProperties": False,
    }


def _schema_of_projects(status: int) -> dict[str, Any]:
    """The same with the words and the number once more."""
    found = _schema(status)
    return found | {
        "required": [*found["required"], "message", "status"],
        "properties": found["properties"]
        | {"message": {"type": "string"}, "status": {"type": "integer", "enum": [status]}},
    }


def _schema_of_tasks(status: int) -> dict[str, Any]:
    """The other form, with the same codes in small letters."""
    small = [code.lower() for code in codes(status)]
    return {
        "type": "object",
        "description": WHEN[status],
        "required": ["error", "message", "details"],
        "properties": {
            "error": {"type": "string", "enum": small, "description": "for programs"},
            "message": {"type": "string", "description": "for people"},
            "details": {"type": "object", "description": "context, such as the key's path"},
        },
        "additionalProperties": False,
    }


def codes(status: int) -> list[str]:
    """All codes of the error tree with this status."""
    found = {kind.code for kind in _tree(errors.KnifyError) if _status(kind) == status}
    framework = api_errors.HTTP_CODES.get(status)
    known = found | ({framework} if framework else set())
    return ["INTERNAL_ERROR"] if status == 500 else sorted(known - set(_INNER))


def _tree(kind: type[errors.KnifyError]) -> Iterator[type[errors.KnifyError]]:
    yield kind
    for below in kind.__subclasses__():
        if not below.__module__.startswith("knify.client"):  # a client's view of these
            yield from _tree(below)


def _status(kind: type[errors.KnifyError]) -> int:
    return next(api_errors.STATUS[k] for k in kind.__mro__ if k in api_errors.STATUS)


def _answer(status: int, name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}Error"}
    headers: dict[str, Any] = {"X-Request-Id": _REQUEST_ID}
    if status in (429, 503):
        headers["Retry-After"] = _RETRY
    if status == 429:
        headers |= _LIMITS
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    return {
        "description": WHEN[status],
        "headers": headers,
        "content": {JSON: {"schema": schema}},
    }


_HEADERS: Final[dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The one that you sent, if it is 1 to 64 letters, digits, `.`, `_`, `-`.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "X-RateLimit-Limit": {
        "description": "Requests an hour with this key; none of the three without a limit.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Remaining": {
        "description": "How many are left.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "When all are there again: seconds since the epoch.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Idempotent-Replayed": {
        "description": "`true` when this is the first answer to the Idempotency-Key, again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "X-Next-Before": {
        "description": "Give it as `before` to get what follows.",
        "schema": {"type": "string"},
    },
    "X-Total-Count": {
        "description": "How many there are in all.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Link": {"description": "`next` and `prev`, if any.", "schema": {"type": "string"}},
    "ETag": {"required": True, "schema": {"type": "string", "pattern": '^"[0-9a-f]{64}"$'}},
    "Content-Range": {"required": True, "schema": {"type": "string"}},
    "Content-Disposition": {"required": True, "schema": {"type": "string"}},
}
