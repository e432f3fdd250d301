"""What the server answers, parsed: shared by all ways of asking."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

from knify.client import errors

_SHA256 = re.compile(r"[0-9a-f]{64}")
ENDED = frozenset({"completed", "failed", "failed_preserved", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the server shows it; `raw` has all of it."""

    id: str
    status: str  # pending | running | completed | failed | cancelled
    spec: dict[str, Any]
    name: str | None
    created_at: str  # RFC 3339, as all times here
    started_at: str | None
    completed_at: str | None
    sandbox_id: str | None
    parent_job_id: str | None
    exit_code: int | None
    error: str | None
    files: tuple[str, ...]  # paths of the artifacts
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """From one JSON object; what is missing is None."""
        return cls(
            id=body["id"],
            status=body["status"],
            spec=body.get("spec") or {},
            name=body.get("name"),
            created_at=body.get("created_at") or "",
            started_at=body.get("started_at"),
            completed_at=body.get("completed_at"),
            sandbox_id=body.get("sandbox_id"),
            parent_job_id=body.get("parent_job_id"),
            exit_code=body.get("exit_code"),
            error=body.get("error"),
            files=tuple((body.get("artifacts") or {}).get("files") or ()),
            raw=body,
        )

    @property
    def ended(self) -> bool:
        """Whether nothing follows any more."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted job."""

    job_id: str
    status: str
    replayed: bool  # the Idempotency-Key was used before: this is the first one's job
    raw: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a job left."""

    path: str
    size: int | None  # bytes
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry of a stream. With `after=frame.id` a stream goes on right behind it."""

    id: str
    data: dict[str, Any]


def error(response: httpx.Response) -> errors.ApiError:
    """The error that a response with a status of 400 or more tells. Its body has been read."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    message = body.get("message") or body.get("error") or f"HTTP {response.status_code}"
    return errors.ApiError(
        response.status_code,
        str(body.get("code") or body.get("error") or f"HTTP_{response.status_code}"),
        str(message),
        detail=body.get("detail", body.get("details")),
        request_id=response.headers.get("X-Request-Id"),
        retry_after=response.headers.get("Retry-After"),
    )


def accepted(response: httpx.Response) -> httpx.Response:
    """The same response unless it is a refusal: then ApiError."""
    if not response.is_success:
        raise error(response)
    return response


def body_of(response: httpx.Response) -> Any:
    """The JSON in an answer; None in an empty one."""
    try:
        return response.json() if response.content else None
    except ValueError:
        raise _stranger(response) from None


def job(response: httpx.Response) -> Job:
    """A job's record."""
    return Job.parse(_object(response))


def jobs(response: httpx.Response) -> list[Job]:
    """A bare list or a page of one."""
    return [Job.parse(row) for row in rows(response)]


def submitted(response: httpx.Response) -> Submitted:
    """The answer to a new job."""
    body = _object(response)
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Submitted(body["job_id"], body["status"], replayed, body)


def rows(response: httpx.Response, *names: str) -> list[dict[str, Any]]:
    """A list, bare or as one field of an object: `data`, or one of `names`."""
    body = body_of(response)
    if isinstance(body, dict):
        body = next((body[name] for name in ("data", *names) if name in body), None)
    if not isinstance(body, list):
        raise _stranger(response)
    return body


def frame(event_id: str, data: str) -> Frame:
    """A stream's entry."""
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise errors.ConnectionFailed("a stream sent something that is not Knify's")
    return Frame(event_id, body)


def artifact(path: str, response: httpx.Response) -> Artifact:
    """Size and checksum from the headers of a file."""
    size = response.headers.get("Content-Length", "")
    return Artifact(path, int(size) if size.isdigit() else None, checksum(response))


def checksum(response: httpx.Response) -> str | None:
    """The SHA-256 that the server promises for this body, if any."""
    for header in ("X-Checksum-SHA256", "ETag"):
        text: str = response.headers.get(header, "").strip().removeprefix("W/").strip('"').lower()
        if _SHA256.fullmatch(text.removeprefix("sha256:")):
            return text.removeprefix("sha256:")
    return None


def _object(response: httpx.Response) -> dict[str, Any]:
    body = body_of(response)
    if not isinstance(body, dict):
        raise _stranger(response)
    return body


def _stranger(response: httpx.Response) -> errors.ConnectionFailed:
    return errors.ConnectionFailed(f"{response.url} does not answer like a Knify server")
