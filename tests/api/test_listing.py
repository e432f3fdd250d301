from __future__ import annotations

import pytest

from knify.core import Core
from tests.api.parts import Api, Worker


def ids(answer: object) -> list[str]:
    body = answer.get_json()  # type: ignore[attr-defined]
    return [job["id"] for job in (body["data"] if isinstance(body, dict) else body)]


def test_without_page_and_limit_the_newest_hundred_come_as_a_bare_array(api: Api) -> None:
    made = [api.submit() for _ in range(103)]

    answer = api.get("/jobs")

    assert ids(answer) == made[::-1][:100]
    assert answer.headers["X-Total-Count"] == "103"
    assert answer.headers["Link"] == '</jobs?page=2&limit=100>; rel="next"'


def test_with_page_or_limit_there_is_a_pagination(api: Api) -> None:
    made = [api.submit() for _ in range(5)]

    answer = api.get("/jobs?page=2&limit=2")

    assert ids(answer) == made[::-1][2:4]
    assert answer.get_json()["pagination"] == {"page": 2, "limit": 2, "total": 5, "pages": 3}
    assert api.get("/jobs?page=1").get_json()["pagination"]["limit"] == 20


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("status=odd", "status"),
        ("created_after=yesterday", "created_after"),
        ("stauts=running", "stauts"),
        ("&".join(f"metadata.k{i}=1" for i in range(9)), "metadata"),
        (f"metadata.{'k' * 65}=1", "metadata"),
    ],
)
def test_a_wrong_query_is_refused_with_its_name(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/jobs?{query}")

    assert (answer.status_code, answer.get_json()["code"]) == (400, "BAD_REQUEST")
    assert answer.get_json()["detail"]["field"] == field


def test_filters_narrow_alone_and_together(api: Api, worker: Worker) -> None:
    plain = api.submit(metadata={"team": "a", "n": 7, "ok": True})
    other = api.submit(metadata={"team": "b"})
    worker.finish(worker.run(other))

    assert ids(api.get("/jobs?status=completed")) == [other]
    assert ids(api.get("/jobs?status=pending,completed")) == [other, plain]
    assert ids(api.get("/jobs?status=running")) == []
    assert ids(api.get("/jobs?job_type=command_task")) == [other, plain]
    assert ids(api.get("/jobs?job_type=runbook_task")) == []
    assert ids(api.get("/jobs?status=pending&job_type=command_task")) == [plain]
    assert ids(api.get("/jobs?metadata.team=a")) == [plain]
    assert ids(api.get("/jobs?metadata.n=7&metadata.ok=true")) == [plain]
    assert ids(api.get("/jobs?metadata.team=b&status=pending")) == []
    assert ids(api.get("/jobs?metadata.none=1")) == []


def test_times_bound_a_list(api: Api) -> None:
    first = api.submit()
    moment = api.get(f"/jobs/{first}").get_json()["created_at"]

    assert ids(api.get(f"/jobs?created_before={moment}")) == []
    assert ids(api.get("/jobs?created_after=2020-01-01T00:00:00%2B00:00")) == [first]
    assert ids(api.get("/jobs?created_after=2020-01-01T00:00:00+00:00")) == [first]


def test_beyond_the_scan_the_total_is_an_estimate(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        api.submit(metadata={"team": "a"})
    monkeypatch.setattr(type(core.store.listing), "SCAN", 3)

    page = api.get("/jobs?metadata.team=a&limit=2").get_json()["pagination"]

    assert page == {"page": 1, "limit": 2, "total": 3, "pages": 2, "total_is_estimate": True}


def test_pending_jobs_show_their_place(api: Api) -> None:
    for _ in range(3):
        api.submit()

    assert [job["queue_position"] for job in api.get("/jobs").get_json()] == [3, 2, 1]
