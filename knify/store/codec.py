"""Records to Redis hashes and back: texts and numbers as they are, the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any

from knify import model
from knify.lifecycle import SandboxState, State


def dump(value: Any) -> str | None:
    """One field's value as a hash holds it; None means that the field is absent."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), default=_shallow)


def execution_fields(x: model.Execution) -> dict[str, str]:
    """All fields of a new execution. `job_type` and `priority` are copied out for the scripts."""
    fields = _shallow(x)
    fields |= {"job_type": x.spec.job_type, "priority": x.spec.priority, "schema": model.SCHEMA}
    return _present(fields)


def sandbox_fields(s: model.Sandbox) -> dict[str, str]:
    """All fields of a new sandbox."""
    return _present(_shallow(s))


def _shallow(record: Any) -> dict[str, Any]:
    """A record's fields as they are: unlike `asdict`, it copies nothing of a user's request."""
    return {field.name: getattr(record, field.name) for field in fields_of(record)}


def _present(fields: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, value in fields.items() if (text := dump(value)) is not None}


def execution(fields: Mapping[str, str]) -> model.Execution:
    """The record that a hash holds."""
    number = _numbers(fields)
    spec = json.loads(fields["spec"])
    spec["resources"] = model.Resources(**spec["resources"])
    for name in ("command", "artifact_patterns"):
        spec[name] = tuple(spec[name]) if spec[name] is not None else None
    outcome, stopping = fields.get("outcome"), fields.get("stopping")
    return model.Execution(
        id=fields["id"],
        tenant=fields["tenant"],
        state=State(fields["state"]),
        spec=model.ExecutionSpec(**spec),
        request=json.loads(fields["request"]),
        created_at=int(fields["created_at"]),
        name=fields.get("name"),
        metadata=json.loads(fields.get("metadata", "{}")),
        state_changed_at=int(fields["state_changed_at"]),
        started_at=number("started_at"),
        completed_at=number("completed_at"),
        parent_id=fields.get("parent_id"),
        sandbox_id=fields["sandbox_id"],
        node=fields.get("node"),
        session_id=fields.get("session_id"),
        fence=number("fence") or 0,
        owner=fields.get("owner"),
        lease_until=number("lease_until") or 0,
        attempts=number("attempts") or 0,
        cancel_requested_at=number("cancel_requested_at"),
        cancel_reason=fields.get("cancel_reason"),
        start_nonce=fields.get("start_nonce"),
        events=number("events") or 0,
        entries=number("entries") or 0,
        lines=number("lines") or 0,
        out_bytes=number("out_bytes") or 0,
        err_bytes=number("err_bytes") or 0,
        exit_code=number("exit_code"),
        error=fields.get("error"),
        stopping=model.Outcome(**json.loads(stopping)) if stopping else None,
        outcome=model.Outcome(**json.loads(outcome)) if outcome else None,
    )


def sandbox(fields: Mapping[str, str]) -> model.Sandbox:
    """The record that a hash holds."""
    number = _numbers(fields)
    return model.Sandbox(
        id=fields["id"],
        tenant=fields["tenant"],
        state=SandboxState(fields["state"]),
        image=fields["image"],
        resources=model.Resources(**json.loads(fields["resources"])),
        created_at=int(fields["created_at"]),
        state_changed_at=int(fields["state_changed_at"]),
        node=fields.get("node"),
        workspace_id=fields.get("workspace_id"),
        container=fields.get("container"),
        expires_at=number("expires_at"),
    )


def workspace(fields: Mapping[str, str]) -> model.Workspace:
    """The record that a hash holds."""
    return model.Workspace(
        id=fields["id"],
        tenant=fields["tenant"],
        name=fields["name"],
        version=int(fields["version"]),
        size=int(fields["size"]),
        sha256=fields["sha256"],
        key=fields["key"],
        created_at=int(fields["created_at"]),
        files=int(fields["files"]),
    )


def api_key(fields: Mapping[str, str]) -> model.ApiKey:
    """The record that a hash holds."""
    revoked = fields.get("revoked_at")
    return model.ApiKey(
        id=fields["id"],
        tenant=fields["tenant"],
        digest=fields["digest"],
        scopes=tuple(json.loads(fields["scopes"])),
        tier=fields["tier"],
        created_at=int(fields["created_at"]),
        name=fields.get("name"),
        revoked_at=int(revoked) if revoked else None,
    )


def record_fields(record: model.Workspace | model.ApiKey) -> dict[str, str]:
    """All fields of a new workspace version or key."""
    return _present(_shallow(record))


class _numbers:
    """Optional whole numbers among a hash's fields."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def __call__(self, name: str) -> int | None:
        text = self._fields.get(name)
        return None if text is None else int(text)
