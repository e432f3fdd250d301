"""What happens in a job, what it says, and what it leaves."""

from __future__ import annotations

from typing import Any

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call

#: What is compressed on the way would no longer be the file that the checksum speaks of.
_AS_IT_IS = {"Accept-Encoding": "identity"}


def events(job_id: str) -> Call[list[records.Event]]:
    """The job's steps so far."""
    return base.get(base.path("jobs", job_id, "events"), answers.many(records.Event, "events"))


def output(job_id: str, *, raw: bool = False) -> Call[list[dict[str, Any]]]:
    """The output so far in the vocabulary that all agents share: `type`, `timestamp`, …

    `raw`: the program's own lines instead, as `lines` gives them.
    """
    path = base.path("jobs", job_id, "output")
    return base.get(path, answers.rows_in("events"), raw=1 if raw else None)


def lines(job_id: str) -> Call[list[records.Line]]:
    """The program's own lines so far."""
    parse = answers.many(records.Line, "events")
    return base.get(base.path("jobs", job_id, "output"), parse, raw=1)


def stream(job_id: str, kind: str, *, raw: bool = False) -> Call[None]:
    """The server-sent events of a job's `events` or `output`."""
    path = base.path("jobs", job_id, kind, "stream")
    return base.get(path, base.nothing, raw=1 if raw else None)


def artifacts(job_id: str) -> Call[list[records.Artifact]]:
    """The job's files, with size, type and checksum."""
    return base.get(base.path("jobs", job_id, "artifacts"), answers.artifacts, content=0)


def artifact_contents(job_id: str) -> Call[dict[str, Any]]:
    """Path to content: JSON parsed, text as text.

    A file over 1 MiB, beyond 8 MiB in all, or binary is `{"url", "size_bytes", "sha256", …}`.
    """
    return base.get(base.path("jobs", job_id, "artifacts"), base.record)


def artifact(job_id: str, path: str) -> Call[None]:
    """One file of a job."""
    where = f"{base.path('jobs', job_id, 'artifacts')}/{base.quoted(path, '/')}"
    return Call("GET", where, base.nothing, headers=_AS_IT_IS)


def archive(job_id: str) -> Call[None]:
    """All files of a job as one archive."""
    return Call(
        "GET", base.path("jobs", job_id, "artifacts.tar.gz"), base.nothing, headers=_AS_IT_IS
    )
