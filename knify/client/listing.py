"""All jobs, however many, though new ones come and old ones go meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knify.client import records, steps
from knify.client.calls import jobs

_PAGE = 100


def iter_jobs(
    *,
    status: str | Sequence[str] | None = None,
    job_type: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> steps.Values[records.Job]:
    """Every job that is there at the beginning, newest first, each once; with `jobs`' filters."""
    before: str | None = None
    while True:
        call = jobs.page(
            status=status,
            job_type=job_type,
            created_after=created_after,
            created_before=created_before,
            metadata=metadata,
            before=before,
            limit=_PAGE,
        )
        found, before = yield from steps.endure(call)
        for job in found:
            yield steps.Item(job)
        if before is None:
            return
