"""Examples, made from the schemas and one table of plausible values."""

from __future__ import annotations

from typing import Any, Final

from api.openapi.operations import JSON, Operation, resolve

_JOB: Final = "job_019a8f6c2b7d7c3e9f10a2b3c4d5e6f7"
_TIME: Final = "2026-01-31T10:00:00.000Z"

#: Bodies of requests.
REQUESTS: Final[dict[str, Any]] = {
    "create_job": {
        "name": "first",
        "spec": {"job_type": "command_task", "command": "echo hello | tee hello.txt"},
    },
    "continue_job": {"spec": {"job_type": "command_task", "command": "cat hello.txt"}},
    "cancel_job": {"reason": "wrong branch"},
    "create_stream_token": {"job_id": _JOB, "stream": "output"},
    "create_webhook": {"url": "https://example.com/hook", "events": ["job.completed"]},
    "change_webhook": {"active": False},
    "change_network": {"network_mode": "outbound", "allowed_hosts": ["api.github.com"]},
    "create_project_job": {
        "name": "nightly",
        "command": "pg_dump app > dump.sql",
        "schedule": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "tags": ["backup"],
    },
    "change_project_job": {"schedule": "0 4 * * 1-5"},
    "put_project_job": {"suspended": True},
    "trigger_run": {"env": {"TARGET": "staging"}},
    "put_secret": {"value": "ghp_0123456789abcdef"},
    "create_key": {"name": "ci", "scopes": ["read", "write"]},
}

#: What a property of that name may hold.
VALUES: Final[dict[str, Any]] = {
    "job_id": _JOB, "parent_job_id": _JOB, "jobs": [_JOB],
    "sandbox_id": "sandbox_019a8f6c2b7e70018c5d2f4e6a8b0c1d",
    "workspace_id": "workspace_019a8f6c2b8070029d3e1f5a7b9c0d2e",
    "path": "/workspaces/demo", "name": "first", "version": 1, "status": "pending",
    "spec": {"job_type": "command_task", "command": ["true"]}, "metadata": {"team": "ops"},
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "error": None, "reason": None, "usage": None, "exit_code": 0, "cursor_session_id": None,
    "stage": "sandbox_created", "level": "info", "detail": "Sandbox provisioned", "n": 3,
    "node": "n1", "image": "localhost/knify/base:latest", "kinds": ["container"],
    "scopes": ["read", "write"], "tier": "enterprise", "message": "done", "success": True,
    "events": [], "artifacts": {"files": ["hello.txt"]}, "checks": {"redis": "ok"},
    "task_id": "task-001", "labels": {"team": "platform"}, "tasks": [], "state": "pending",
    "new_state": "cancelled", "previous_state": "running", "checksum": "sha256:" + "0" * 64,
    "execution_id": "task_019a8f6c2b7d7c3e9f10a2b3c4d5e6f7", "current_tool": None,
    "definition": {"version": "1", "kind": "Task"}, "started_at": None,
    "pending_reason": "no free slot on any node", "key": "knify_live_ID_SECRET",
}  # fmt: skip

#: Of properties that take several types.
_SPELLED: Final = {"grace": "1h", "expires_in": "72h"}


def finish(document: dict[str, Any], operation: Operation) -> None:
    """An example for the request's body and for the answer, where they are JSON."""
    body = operation.doc.get("requestBody", {}).get("content", {}).get(JSON)
    if body is not None and "example" not in body:
        known = REQUESTS.get(operation.id)
        body["example"] = of(document, body["schema"]) if known is None else known
    answer = operation.success()[1].get("content", {}).get(JSON)
    if answer is not None and "example" not in answer:
        answer["example"] = of(document, answer["schema"])


def errors(document: dict[str, Any]) -> None:
    """An example for each error."""
    for answer in document["components"]["responses"].values():
        media = answer["content"][JSON]
        known = resolve(document, media["schema"])["properties"]
        words = answer["description"]
        if "code" in known:
            code = known["code"]["enum"][0]
            media["example"] = {"error": words, "detail": None, "code": code}
            if "status" in known:
                status = known["status"]["enum"][0]
                media["example"] |= {"message": words, "status": status}
        else:
            code = known["error"]["enum"][0]
            media["example"] = {"error": code, "message": words, "details": {}}


def of(document: dict[str, Any], schema: dict[str, Any], name: str = "") -> Any:
    """A value that the schema allows, by the property's name where the table knows it."""
    schema = resolve(document, schema)
    for key in ("example", "default", "const"):
        if key in schema:
            return schema[key]
    if name in _SPELLED:
        return _SPELLED[name]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema and "type" not in schema:
            return of(document, schema[key][0], name)
    if "enum" in schema:
        known = VALUES.get(name)
        return known if known in schema["enum"] else schema["enum"][0]
    kinds = schema.get("type", "string")
    return _typed(document, schema, name, [kinds] if isinstance(kinds, str) else kinds)


def _typed(document: dict[str, Any], schema: dict[str, Any], name: str, kinds: list[str]) -> Any:
    if name in VALUES and _json_type(VALUES[name]) in kinds:
        return VALUES[name]
    if "null" in kinds:
        return None
    if "object" in kinds:
        return {k: of(document, s, k) for k, s in schema.get("properties", {}).items()}
    if "array" in kinds:
        return [of(document, schema.get("items", {}), name.removesuffix("s"))]
    if "string" in kinds:
        return _TIME if schema.get("format") == "date-time" else name or "text"
    if "boolean" in kinds:
        return False
    return max(schema.get("minimum", 0), 0)


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names[type(value)]
