"""What a webhook's receiver gets: the body of an event, and the headers that prove its origin."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from typing import Any, Final

from knify import __version__, clock, errors

PREFIX: Final = "whsec_"

#: The job's status at each event, in the Jobs API's words.
STATUS: Final = {
    "job.created": "pending",
    "job.started": "running",
    "job.completed": "completed",
    "job.failed": "failed",
    "job.cancelled": "cancelled",
}


def body(event: str) -> str:
    """The JSON text of an event, from what the script noted of it (see `webhooks.lua`).

    It is made once and kept with the delivery, so all attempts send the same bytes.
    """
    told = json.loads(event)
    job = told.get("id")
    status = STATUS.get(told["type"])
    message = {
        "type": told["type"],
        "job_id": job,
        "status": status,
        "created_at": _time(told["ts"]),
        "data": _data(told, status) if job else {"message": "a test: no job has changed"},
    }
    return json.dumps(message, separators=(",", ":"))


def headers(secret: str, delivery_id: str, seconds: int, content: bytes) -> dict[str, str]:
    """The documented signature and those of Standard Webhooks, for one attempt.

    `seconds`: since the epoch, when it is sent.
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signed = f"{delivery_id}.{seconds}.".encode() + content
    own = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    standard = hmac.new(standard_key(secret), signed, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "User-Agent": f"knify/{__version__} (webhooks)",
        "X-Knify-Signature": f"sha256={own}",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(standard).decode()}",
    }


def standard_key(secret: str) -> bytes:
    """The key of Standard Webhooks: what `whsec_…` encodes, else the secret's own bytes.

    ValueError when what follows `whsec_` is no base64.
    """
    if not secret.startswith(PREFIX):
        return secret.encode()
    text = secret.removeprefix(PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as failed:
        raise ValueError("not base64") from failed


def _data(told: dict[str, Any], status: str | None) -> dict[str, Any]:
    """The job as it was then, with the names that `GET /jobs/{id}` has."""
    code = told.get("exit_code")
    shown = {
        "id": told["id"],
        "name": told.get("name"),
        "job_type": told.get("job_type"),
        "status": status,
        "state": told.get("state"),
        "metadata": json.loads(told.get("metadata", "{}")),
        "created_at": _time(told.get("created_at")),
        "started_at": _time(told.get("started_at")),
        "completed_at": _time(told.get("completed_at")),
        "sandbox_id": told.get("sandbox_id"),
        "cursor_session_id": told.get("session_id"),
        "parent_job_id": told.get("parent_id"),
        "exit_code": None if code is None else int(code),
        "error": told.get("error"),
    }
    return shown | {"is_brief": True} if told.get("is_brief") else shown


def _time(ms: str | None) -> str | None:
    return None if ms is None else clock.rfc3339(int(ms))


def check_secret(secret: str) -> None:
    """BadRequest, with the cure, for a secret that receivers could not use."""
    if not 8 <= len(secret) <= 200 or not secret.isascii() or not secret.isprintable():
        raise _wrong("has 8 to 200 printable ASCII characters; without one, Knify makes one")
    try:
        key = standard_key(secret)
    except ValueError as failed:
        raise _wrong(f"{PREFIX} is followed by base64, as Standard Webhooks have it") from failed
    if not key:
        raise _wrong(f"{PREFIX} alone is no secret")


def _wrong(words: str) -> errors.BadRequest:
    return errors.BadRequest(f"secret: {words}", detail={"field": "secret"})
