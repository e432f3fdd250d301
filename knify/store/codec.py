"""Records to Redis hashes and back: texts and numbers as they are, the rest as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any, Final, TypeVar

from knify import apikeys, briefs, families, model
from knify.lifecycle import SandboxState, State
from knify.store import rows, upgrade

T = TypeVar("T")

_OF_ROWS = ("packed", "is_brief", "files_expired_at")  # said by the row itself


#: An execution's fields that are as Redis has them: texts, numbers that may be absent, and counts.
_TEXTS: Final = (
    *("name", "parent_id", "sandbox_id", "node", "image_digest", "session_id", "owner", "line"),
    *("cancel_reason", "start_nonce", "boot", "error", "task_id", "start_commit"),
    *("current_tool", "child_of", "opened_by", "definition", "retry_of", "traceparent"),
)
_NUMBERS: Final = (
    *("started_at", "completed_at", "cancel_requested_at", "deleting", "exit_code"),
    *("files_expired_at", "parked_at"),
)
_COUNTS: Final = (
    *("state_changed_at", "fence", "lease_until", "attempts", "events", "entries", "lines"),
    *("out_bytes", "err_bytes", "tail_bytes", "tool_calls"),
)


def dump(value: Any) -> str | None:
    """One field's value as a hash holds it; None means that the field is absent."""
    if value is None or isinstance(value, str):
        return value
    return str(value) if type(value) is int else _encode(value)


def execution_fields(x: model.Execution) -> dict[str, str]:
    """All fields of a new execution. What the scripts need of the spec is copied out."""
    fields = _shallow(x)
    fields |= {"job_type": x.spec.job_type, "priority": x.spec.priority, "schema": model.SCHEMA}
    fields["needs"] = needs(x.spec.resources)
    fields["most_children"] = families.of(x.request).max_concurrent
    for name in _OF_ROWS:
        del fields[name]
    for name, (brief, is_cut) in {
        "request": briefs.request(x.request),
        "metadata": briefs.metadata(x.metadata),
    }.items():
        if is_cut:
            fields[f"brief_{name}"] = brief
    return _present(fields)


def needs(r: model.Resources) -> str:
    """What admission counts: thousandths of a core, bytes of memory, bytes of disk."""
    return f"{math.ceil(r.cpus * 1000)} {r.memory} {r.disk}"


def sandbox_fields(s: model.Sandbox) -> dict[str, str]:
    """All fields of a new sandbox. Values of at most 64 bytes make Redis keep it in one piece."""
    fields = _shallow(s) | {"schema": model.SCHEMA}
    fields["resources"] = [int(n) if n == int(n) else n for n in _shallow(s.resources).values()]
    del fields["id"]  # the key says it, and there are many sandboxes
    return _present(fields)


def _shallow(record: Any) -> dict[str, Any]:
    """A record's fields as they are: unlike `asdict`, it copies nothing of a user's request."""
    kind = type(record)
    if kind not in _names:
        _names[kind] = tuple(field.name for field in fields_of(record))
    return {name: getattr(record, name) for name in _names[kind]}


#: The fields of each kind of record: to ask for them costs as much as to read them.
_names: dict[type[Any], tuple[str, ...]] = {}


#: Made once: `json.dumps` makes an encoder of its own for every value.
_encode = json.JSONEncoder(separators=(",", ":"), default=_shallow).encode


def _present(fields: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, value in fields.items() if (text := dump(value)) is not None}


def execution(fields: Mapping[str, Any], execution_id: str = "") -> model.Execution:
    """The record that a hash holds, whole or as the row that packing left, which lacks the id."""
    if "row" in fields:
        fields = rows.decode(fields)
    fields = upgrade.record("execution", fields)
    number = _numbers(fields)
    plain: dict[str, Any] = {name: fields.get(name) for name in _TEXTS}
    plain |= {name: number(name) for name in _NUMBERS}
    plain |= {name: number(name) or 0 for name in _COUNTS}
    return model.Execution(
        id=fields.get("id") or execution_id,
        tenant=fields["tenant"],
        state=State(fields["state"]),
        spec=_spec(json.loads(fields["spec"]) if "row" not in fields else _of_row(fields)),
        request=_loaded(fields.get("request", {})),
        created_at=int(fields["created_at"]),
        metadata=_loaded(fields.get("metadata", {})),
        said=_said(fields.get("said")),
        usage=json.loads(fields["usage"]) if "usage" in fields else None,
        run=_made(model.Run, _loaded(fields["run"])) if "run" in fields else None,
        stopping=_outcome(fields.get("stopping")),
        outcome=_outcome(fields.get("outcome")),
        packed="row" in fields,
        is_brief="is_brief" in fields,
        **plain,
    )


def is_there(fields: Mapping[str, str]) -> bool:
    """Whether a hash holds an execution that anybody may still see."""
    return bool(fields) and "expiring" not in fields


def listed(fields: Mapping[str, str], execution_id: str) -> model.Execution:
    """The same of what a list reads, which leaves out most of the spec."""
    known = {} if "row" in fields else {"spec": _encode(_of_row(fields))}
    return execution({**fields, **known}, execution_id)


def _of_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a row still tells of the spec."""
    return {"job_type": fields["job_type"], "priority": int(fields.get("priority", 0))}


def _loaded(value: Any) -> Any:
    """Rows hold some fields as they are, and not as text."""
    return json.loads(value) if isinstance(value, str) else value


def _spec(fields: dict[str, Any]) -> model.ExecutionSpec:
    fields["resources"] = _made(model.Resources, fields.get("resources"))
    names = ("command", "artifact_patterns", "allowed_tools", "allowed_hosts", "time_range")
    for name in names:
        if fields.get(name) is not None:
            fields[name] = tuple(fields[name])
    if fields.get("repository") is not None:
        fields["repository"] = _made(model.Repository, fields["repository"])
    fields["secrets"] = tuple(_made(model.SecretRef, one) for one in fields.get("secrets", ()))
    return _made(model.ExecutionSpec, fields)


def _outcome(text: str | None) -> model.Outcome | None:
    return _made(model.Outcome, json.loads(text)) if text else None


def _said(text: str | None) -> model.Said | None:
    if text is None:
        return None
    said = _made(model.Said, json.loads(text))
    return said.evolve(files=tuple(said.files))


def _repository(text: str | None) -> model.Repository | None:
    return _made(model.Repository, json.loads(text)) if text else None


def _resources(text: str) -> model.Resources:
    """A list in the order of the fields; older records hold them by name."""
    found = json.loads(text)
    return model.Resources(*found) if isinstance(found, list) else _made(model.Resources, found)


def sandbox(fields: Mapping[str, str], sandbox_id: str) -> model.Sandbox:
    """The record that a hash holds; those of schema 2 know their id."""
    fields = upgrade.record("sandbox", fields)
    number = _numbers(fields)
    return model.Sandbox(
        id=sandbox_id,
        tenant=fields["tenant"],
        state=SandboxState(fields["state"]),
        image=fields["image"],
        resources=_resources(fields.get("resources", "{}")),
        created_at=int(fields["created_at"]),
        state_changed_at=number("state_changed_at") or 0,
        node=fields.get("node"),
        workspace_id=fields.get("workspace_id"),
        repository=_repository(fields.get("repository")),
        start_commit=fields.get("start_commit"),
        container=fields.get("container"),
        expires_at=number("expires_at"),
        hot_until=number("hot_until"),
        archive=fields.get("archive"),
        archive_size=number("archive_size"),
        archive_sha256=fields.get("archive_sha256"),
        archived_at=number("archived_at"),
        archiving=fields.get("archiving"),
        reason=fields.get("reason"),
        custody=fields.get("custody"),
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
        files=int(fields.get("files", "0")),
        upload_sha256=fields.get("upload_sha256", ""),
    )


def api_key(fields: Mapping[str, str]) -> apikeys.ApiKey:
    """The record that a hash holds."""
    number = _numbers(fields)
    return apikeys.ApiKey(
        id=fields["id"],
        tenant=fields["tenant"],
        digest=fields["digest"],
        scopes=tuple(json.loads(fields["scopes"])),
        tier=fields["tier"],
        created_at=int(fields["created_at"]),
        name=fields.get("name"),
        mode=fields.get("mode", "live"),
        windows=_windows(fields),
        expires_at=number("expires_at"),
        rotated_at=number("rotated_at"),
        old_digest=fields.get("old_digest"),
        old_until=number("old_until"),
        last_used_at=number("last_used_at"),
        revoked_at=number("revoked_at"),
    )


def _windows(fields: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    """Keys of before there were limits have their tier's."""
    if "windows" in fields:
        return tuple((whose, limit) for whose, limit in json.loads(fields["windows"]))
    limit = apikeys.TIERS.get(fields["tier"])
    return () if limit is None else ((fields["id"], limit),)


def record_fields(record: model.Workspace | apikeys.ApiKey) -> dict[str, str]:
    """All fields of a new workspace version or key."""
    return _present(_shallow(record))


def _made(cls: type[T], values: Mapping[str, Any] | None) -> T:
    """A part of a record: what it lacks has its default, what is not known any more is left out."""
    names = {field.name for field in fields_of(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in (values or {}).items() if name in names})


class _numbers:
    """Optional whole numbers among a hash's fields."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __call__(self, name: str) -> int | None:
        text = self._fields.get(name)
        return None if text is None else int(text)
