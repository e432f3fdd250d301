"""Jobs: submit, show, list, continue, cancel, clean up, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def create_job(
    spec: Mapping[str, Any], name: str | None = None, idempotency_key: str | None = None
) -> Call[records.Submitted]:
    """Submit a job. Without a key of your own, one is made for this call's retries."""
    body = {"spec": dict(spec), "name": name}
    return base.create("/jobs", answers.submitted, body, idempotency_key)


def continue_job(
    job_id: str,
    spec: Mapping[str, Any],
    name: str | None = None,
    idempotency_key: str | None = None,
) -> Call[records.Submitted]:
    """Submit a job into the sandbox of another."""
    body = {"spec": dict(spec), "name": name}
    path = base.path("jobs", job_id, "continue")
    return base.create(path, answers.submitted, body, idempotency_key)


def job(job_id: str) -> Call[records.Job]:
    """A job as it is now."""
    return base.get(base.path("jobs", job_id), answers.one(records.Job))


def jobs(
    *,
    status: str | Sequence[str] | None = None,
    job_type: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    metadata: Mapping[str, str] | None = None,
    page: int | None = None,
    limit: int | None = None,
) -> Call[list[records.Job]]:
    """Jobs, newest first: 100 at most, or one page of `limit`. Times are RFC 3339.

    `status` is one word or several. Long texts are cut in lists; `job()` has them whole.
    """
    filters = _filters(status, job_type, created_after, created_before, metadata)
    return base.get("/jobs", answers.many(records.Job), page=page, limit=limit, **filters)


def page(
    *,
    status: str | Sequence[str] | None = None,
    job_type: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    metadata: Mapping[str, str] | None = None,
    before: str | None = None,
    limit: int | None = None,
) -> Call[tuple[list[records.Job], str | None]]:
    """Jobs older than `before`, and the `before` of the next page; None on the last one."""
    filters = _filters(status, job_type, created_after, created_before, metadata)
    return base.get("/jobs", answers.jobs_page, before=before, limit=limit, **filters)


def cancel(job_id: str, reason: str | None = None) -> Call[records.Submitted]:
    """Stop a job; harmless when it has ended."""
    body = None if reason is None else {"reason": reason}
    path = base.path("jobs", job_id, "cancel")
    return Call("POST", path, answers.submitted, body=body, harmless=True)


def cleanup(job_id: str, *, force: bool = False) -> Call[dict[str, Any]]:
    """Delete the job's sandbox for good; `force` cancels what still runs or waits in it."""
    path = base.path("jobs", job_id, "cleanup")
    return base.do(path, base.record, force=True if force else None)


def delete_job(job_id: str) -> Call[None]:
    """Delete a job for good, record and files; it is cancelled first when it runs."""
    return base.delete(base.path("jobs", job_id), base.nothing)


def _filters(
    status: str | Sequence[str] | None,
    job_type: str | None,
    created_after: str | None,
    created_before: str | None,
    metadata: Mapping[str, str] | None,
) -> dict[str, object]:
    words = status if status is None or isinstance(status, str) else ",".join(status)
    wanted: dict[str, object] = {
        "status": words,
        "job_type": job_type,
        "created_after": created_after,
        "created_before": created_before,
    }
    return wanted | {f"metadata.{key}": value for key, value in (metadata or {}).items()}
