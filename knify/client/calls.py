"""Every request that a client can make, as a value: shared by all ways of sending it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

IDEMPOTENCY_KEY = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, ready to be sent, perhaps more than once."""

    method: str
    path: str  # quoted
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None  # sent as JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in ("GET", "HEAD", "DELETE") or IDEMPOTENCY_KEY in self.headers


def create_job(spec: Mapping[str, Any], name: str | None, idempotency_key: str | None) -> Call:
    """A new job in a new sandbox."""
    body = {"spec": dict(spec)} | ({"name": name} if name else {})
    return _creating("/jobs", body, idempotency_key)


def continue_job(
    job_id: str, spec: Mapping[str, Any], name: str | None, idempotency_key: str | None
) -> Call:
    """A new job in the sandbox of another."""
    body = {"spec": dict(spec)} | ({"name": name} if name else {})
    return _creating(job(job_id, "continue").path, body, idempotency_key)


def job(job_id: str, part: str = "", **params: str) -> Call:
    """A job, or a part of it such as `events/stream`."""
    return Call("GET", _path("jobs", job_id) + (f"/{part}" if part else ""), params)


def jobs(
    *,
    status: str | None = None,
    job_type: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    metadata: Mapping[str, str] | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Call:
    """A list of jobs, newest first."""
    given = {
        "status": status,
        "job_type": job_type,
        "created_after": created_after,
        "created_before": created_before,
        "page": page,
        "limit": limit,
    } | {f"metadata.{key}": value for key, value in (metadata or {}).items()}
    return Call("GET", "/jobs", {k: str(v) for k, v in given.items() if v is not None})


def artifact(job_id: str, path: str, method: str = "GET") -> Call:
    """One file of a job."""
    # What is compressed on the way would no longer be the file that the checksum speaks of.
    headers = {"Accept-Encoding": "identity"}
    return Call(method, f"{_path('jobs', job_id)}/artifacts/{_quoted(path, '/')}", headers=headers)


def cancel(job_id: str) -> Call:
    """Stop a job."""
    return Call("POST", job(job_id, "cancel").path)


def cleanup(job_id: str, *, force: bool) -> Call:
    """Delete a job's sandbox."""
    return Call("POST", job(job_id, "cleanup").path, {"force": "true"} if force else {})


def nodes() -> Call:
    """All nodes."""
    return Call("GET", "/nodes")


def drain_node(name: str, *, on: bool) -> Call:
    """Send a node's sandboxes away, or let them come again."""
    return Call("POST", _path("nodes", name, "drain" if on else "undrain"))


def archive_sandbox(sandbox_id: str) -> Call:
    """Move an idle sandbox to the object store."""
    return Call("POST", _path("sandboxes", sandbox_id, "archive"))


def sandboxes(*, orphans: bool, page: int | None, limit: int | None) -> Call:
    """A list of sandboxes, newest first."""
    given = {"orphans": "true" if orphans else None, "page": page, "limit": limit}
    return Call("GET", "/sandboxes", {k: str(v) for k, v in given.items() if v is not None})


def sandbox(sandbox_id: str) -> Call:
    """One sandbox."""
    return Call("GET", _path("sandboxes", sandbox_id))


def workspaces() -> Call:
    """All workspaces."""
    return Call("GET", "/workspaces")


def upload(idempotency_key: str | None) -> Call:
    """A workspace; its multipart body is added where it is sent."""
    key = idempotency_key or new_key()
    # A repeated upload is the same request only with the same boundary.
    boundary = uuid.uuid5(uuid.NAMESPACE_URL, key).hex
    kind = f"multipart/form-data; boundary=knify-{boundary}"
    return Call("POST", "/workspaces", headers={IDEMPOTENCY_KEY: key, "Content-Type": kind})


def create_key(
    name: str | None, scopes: Sequence[str], tier: str | None, idempotency_key: str | None
) -> Call:
    """A new API key."""
    given = {"name": name, "scopes": list(scopes) or None, "tier": tier}
    body = {key: value for key, value in given.items() if value is not None}
    return _creating("/keys", body, idempotency_key)


def keys() -> Call:
    """All API keys, without their secrets."""
    return Call("GET", "/keys")


def revoke_key(key_id: str) -> Call:
    """Make a key useless."""
    return Call("DELETE", _path("keys", key_id))


def new_key() -> str:
    """A fresh Idempotency-Key."""
    return uuid.uuid4().hex


def _creating(path: str, body: Mapping[str, Any], idempotency_key: str | None) -> Call:
    return Call("POST", path, body=body, headers={IDEMPOTENCY_KEY: idempotency_key or new_key()})


def _path(*words: str) -> str:
    return "".join(f"/{_quoted(word, '')}" for word in words)


def _quoted(text: str, safe: str) -> str:
    """File names that are no UTF-8 come as surrogates and go back as their own bytes."""
    return quote(text, safe=safe, errors="surrogateescape")
