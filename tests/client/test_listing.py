"""All jobs, page by page, as the server says where to go on."""

from __future__ import annotations

from typing import Any

from knify.client import Client
from tests.client import scripted


def job(n: int) -> dict[str, Any]:
    return {"id": f"job_{n}", "status": "running"}


def test_pages_follow_each_other_until_one_names_no_next(
    server: scripted.Server, client: Client
) -> None:
    # Any page but the last may hold fewer than were asked for, or none.
    server.on("GET", "/jobs", {"data": [job(5), job(4)]}, X_Next_Before="400")
    server.on("GET", "/jobs", {"data": []}, X_Next_Before="300")
    server.on("GET", "/jobs", {"data": [job(3)]})

    assert [found.id for found in client.iter_jobs()] == ["job_5", "job_4", "job_3"]

    assert [r.query.get("before") for r in server.requests] == [None, "400", "300"]
    assert {r.query["limit"] for r in server.requests} == {"100"}


def test_filters_go_along(server: scripted.Server, client: Client) -> None:
    server.on("GET", "/jobs", {"data": []})

    list(client.iter_jobs(status=["failed", "cancelled"], metadata={"team": "a"}))

    query = {"status": "failed,cancelled", "metadata.team": "a", "limit": "100"}
    assert server.requests[0].query == query
