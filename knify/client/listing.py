"""All jobs, however many, though new ones come and old ones go meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

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
    """Every job that is there at the beginning, newest first, each once; with `jobs`' filters.

    Pages are cut by time of creation and not by number, so that a new job moves none.
    """
    before, page = created_before, 1
    given: frozenset[str] = frozenset()  # of the page before
    while True:
        call = jobs.jobs(
            status=status,
            job_type=job_type,
            created_after=created_after,
            created_before=before,
            metadata=metadata,
            page=page,
            limit=_PAGE,
        )
        found = yield from steps.ask(call)
        for job in found:
            if job.id not in given:
                yield steps.Item(job)
        if len(found) < _PAGE:
            return
        given = frozenset(job.id for job in found) | (given if page > 1 else frozenset())
        behind = _right_after(found[-1].created_at)
        # A hundred jobs of one millisecond are the only ones that must be counted through.
        page, before = (page + 1, before) if behind in (None, before) else (1, behind)


def _right_after(created_at: str | None) -> str | None:
    """A millisecond later, so that what was made in the same one is asked for once more."""
    if created_at is None:
        return None
    return (datetime.fromisoformat(created_at) + timedelta(milliseconds=1)).isoformat()
