"""What the server answers, read: shared by all ways of asking."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from knify.client import errors, records, taskrecords

_SHA256 = re.compile(r"[0-9a-f]{64}")

R = TypeVar("R", bound=records.Record)


#: What something between us and the server may say instead of it; beside all from 500 on.
_PROXY = frozenset({413, 429})


def error(response: httpx.Response) -> errors.ApiError | errors.ConnectionFailed:
    """The error that a response which is no success tells. Its body has been read."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    strange = response.status_code < 500 and response.status_code not in _PROXY
    if strange and not {"error", "message"} & body.keys():
        return _stranger(response)
    message = body.get("message") or body.get("error") or f"HTTP {response.status_code}"
    # The Tasks API writes the same codes in small letters.
    code = body.get("code") or str(body.get("error") or f"HTTP_{response.status_code}").upper()
    return errors.kind(response.status_code)(
        response.status_code,
        str(code),
        str(message),
        detail=body.get("detail", body.get("details")),
        request_id=response.headers.get("X-Request-Id"),
        retry_after=response.headers.get("Retry-After"),
    )


def accepted(response: httpx.Response, also: frozenset[int] = frozenset()) -> httpx.Response:
    """The same response unless it is a refusal: then ApiError. `also`: statuses that are none."""
    if not response.is_success and response.status_code not in also:
        raise error(response)
    return response


def object_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer; an empty one for no body."""
    body = _body(response)
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise _stranger(response)
    return body


def rows_of(response: httpx.Response, *names: str) -> list[dict[str, Any]]:
    """A list, bare or as one field of an object: `data`, or one of `names`."""
    body = _body(response)
    if isinstance(body, dict):
        body = next((body[name] for name in ("data", *names) if name in body), None)
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise _stranger(response)
    return body


def one(kind: type[R]) -> Callable[[httpx.Response], R]:
    """Reads one record."""
    return lambda response: _read(kind, object_of(response), response)


def data(kind: type[R]) -> Callable[[httpx.Response], R]:
    """Reads one record, the `data` of an answer."""
    return lambda response: _read(kind, data_object(response), response)


def data_object(response: httpx.Response) -> dict[str, Any]:
    """The object that is the `data` of an answer."""
    found = object_of(response).get("data")
    if not isinstance(found, dict):
        raise _stranger(response)
    return found


def many(kind: type[R], *names: str) -> Callable[[httpx.Response], list[R]]:
    """Reads a list of records."""
    return lambda response: [_read(kind, row, response) for row in rows_of(response, *names)]


def rows_in(name: str) -> Callable[[httpx.Response], list[dict[str, Any]]]:
    """Reads a list whose rows stay as they are."""
    return lambda response: rows_of(response, name)


def submitted(response: httpx.Response) -> records.Submitted:
    """The answer to a new job."""
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return dataclasses.replace(one(records.Submitted)(response), replayed=replayed)


def jobs_page(response: httpx.Response) -> tuple[list[records.Job], str | None]:
    """A page of jobs, and where the next one begins."""
    return many(records.Job)(response), response.headers.get("X-Next-Before")


def task_page(response: httpx.Response) -> taskrecords.TaskPage:
    """A part of a list of tasks."""
    rows = many(taskrecords.Task, "tasks")(response)
    return dataclasses.replace(one(taskrecords.TaskPage)(response), tasks=tuple(rows))


def objects_by_line(kind: type[R]) -> Callable[[httpx.Response], list[R]]:
    """Reads a record from each line."""
    return lambda response: [_read(kind, row, response) for row in _rows_by_line(response)]


def artifacts(response: httpx.Response) -> list[records.Artifact]:
    """The listing of files: path to size, type and checksum."""
    found = object_of(response)
    if not all(isinstance(facts, dict) for facts in found.values()):
        raise _stranger(response)
    return [
        records.Artifact(
            path,
            facts.get("size_bytes"),
            facts.get("sha256"),
            facts.get("content_type"),
            facts.get("withheld") is True,
        )
        for path, facts in found.items()
    ]


def readiness(response: httpx.Response) -> records.Readiness:
    """Ready, or the reasons why not."""
    body = object_of(response)
    checks = body.get("checks", body.get("detail")) or {}
    return records.Readiness(ready=response.is_success, checks=dict(checks), raw=body)


def frame(event_id: str, data: str) -> records.Frame:
    """A stream's entry."""
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise errors.ConnectionFailed("a stream sent something that is not Knify's")
    return records.Frame(event_id, body)


def checksum(response: httpx.Response) -> str | None:
    """The SHA-256 that the server promises for this body, if any."""
    for header in ("X-Checksum-SHA256", "ETag"):
        text: str = response.headers.get(header, "").strip().removeprefix("W/").strip('"').lower()
        if _SHA256.fullmatch(text.removeprefix("sha256:")):
            return text.removeprefix("sha256:")
    return None


def length(response: httpx.Response) -> int | None:
    """How many bytes the body will have, where the server says it."""
    text: str = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def task_artifacts(response: httpx.Response) -> list[records.Artifact]:
    """The same of a task."""
    return [
        records.Artifact(
            row["path"],
            row.get("size_bytes"),
            str(row.get("checksum") or "").removeprefix("sha256:") or None,
            row.get("content_type"),
            row.get("withheld") is True,
        )
        for row in rows_of(response, "artifacts")
        if "path" in row
    ]


def _rows_by_line(response: httpx.Response) -> list[dict[str, Any]]:
    try:
        rows = [json.loads(line) for line in response.content.split(b"\n") if line]
    except ValueError:
        rows = [None]
    if not all(isinstance(row, dict) for row in rows):
        raise _stranger(response)
    return rows


def _read(kind: type[R], body: dict[str, Any], response: httpx.Response) -> R:
    try:
        return kind.read(body)
    except KeyError:
        raise _stranger(response) from None


def _body(response: httpx.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError:
        raise _stranger(response) from None


def _stranger(response: httpx.Response) -> errors.ConnectionFailed:
    kind = response.headers.get("Content-Type", "no type").partition(";")[0]
    said = f"what answers at {response.url} is no Knify server ({response.status_code}, {kind})"
    if response.is_redirect:
        return errors.ConnectionFailed(f"{said}: it sends on to {response.headers['Location']}")
    return errors.ConnectionFailed(f"{said}: check KNIFY_URL")
