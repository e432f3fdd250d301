"""All jobs, page by page, while new ones come."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from knify.client import Client
from tests.client import scripted

START = datetime(2026, 1, 31, tzinfo=UTC)


class Shelf:
    """Jobs as the server lists them: newest first, filtered by time, in pages."""

    def __init__(self, moments: list[int]) -> None:
        self.jobs = [self._job(n, ms) for n, ms in enumerate(sorted(moments))]
        self.asked = 0

    def _job(self, n: int, ms: int) -> dict[str, Any]:
        at = (START + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
        return {"id": f"job_{n:05}", "status": "running", "created_at": at}

    def answer(self, request: scripted.Request) -> scripted.Answer:
        self.asked += 1
        found = [job for job in reversed(self.jobs) if self._before(request, job)]
        page, limit = int(request.query["page"]), int(request.query["limit"])
        rows = found[(page - 1) * limit : page * limit]
        # Each question finds some more jobs than the one before.
        self.jobs += [self._job(len(self.jobs) + i, 10**9 + self.asked) for i in range(7)]
        return scripted.Answer(json.dumps({"data": rows}).encode())

    def _before(self, request: scripted.Request, job: dict[str, Any]) -> bool:
        before = request.query.get("created_before")
        at = datetime.fromisoformat(job["created_at"])
        return before is None or at < datetime.fromisoformat(before)


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 650])
@pytest.mark.parametrize("spread", [1, 3, 40, 100_000])
def test_no_job_is_lost_or_doubled(
    server: scripted.Server, client: Client, count: int, spread: int
) -> None:
    chance = random.Random(count * spread)
    shelf = Shelf([chance.randrange(spread) for _ in range(count)])
    there = [job["id"] for job in reversed(shelf.jobs)]
    server.on_call("GET", "/jobs", shelf.answer)

    assert [job.id for job in client.iter_jobs()] == there


def test_filters_go_along(server: scripted.Server, client: Client) -> None:
    server.on("GET", "/jobs", [])

    list(client.iter_jobs(status=["failed", "cancelled"], metadata={"team": "a"}))

    query = {"status": "failed,cancelled", "metadata.team": "a", "page": "1", "limit": "100"}
    assert server.requests[0].query == query
