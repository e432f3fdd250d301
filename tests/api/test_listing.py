from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knify import spec
from knify.core import Core
from knify.lifecycle import State
from knify.services import retention
from knify.store import keys, terms
from tests import factories
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


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_beyond_the_scan_the_total_is_an_estimate_and_no_page_loses_a_job(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    made = [api.submit(metadata={"team": "ab"[n % 2], "n": n % 3}) for n in range(30)]
    monkeypatch.setattr(type(core.store.listing), "SCAN", 3)
    monkeypatch.setattr(type(core.store.listing), "STEPS", chunk)
    wanted = [job for n, job in reversed(list(enumerate(made))) if n % 2 == 0 and n % 3 == 1]
    query = "/jobs?metadata.team=a&metadata.n=1&status=pending&limit=2"

    pages = [api.get(f"{query}&page={page}").get_json() for page in range(1, 5)]

    assert [job["id"] for page in pages for job in page["data"]] == wanted
    estimates = [page["pagination"].get("total_is_estimate", False) for page in pages]
    assert (estimates[0], estimates[3]) == (chunk < 10, False)
    for page in pages[:2]:
        assert page["pagination"]["pages"] > page["pagination"]["page"]
    assert pages[3]["pagination"]["total"] == len(wanted)


FILTERS = [
    *("", "status=pending", "status=pending,completed", "job_type=command_task"),
    *(
        "metadata.team=a",
        "metadata.team=a&status=completed,pending",
        "metadata.team=a&metadata.n=1",
    ),
    "status=completed,pending,failed&job_type=command_task&metadata.n=2",
]


@pytest.mark.parametrize("query", FILTERS)
def test_whoever_goes_on_from_the_last_answer_gets_all_jobs_once_though_others_come_and_go(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    for n in range(24):
        job_id = api.submit(metadata={"team": "ab"[n % 2], "n": n % 3})
        if n % 4 < 2:
            worker.finish(worker.run(job_id))
    whole = ids(api.get(f"/jobs?{query}"))
    assert len(whole) >= 4
    for name, value in (("SCAN", 4), ("STEPS", 2), ("PATIENCE", 4)):
        monkeypatch.setattr(type(core.store.listing), name, value)

    seen, before = [], ""
    while True:
        answer = api.get(f"/jobs?{query}&limit=3{before}")
        seen += ids(answer)
        following = answer.headers.get("X-Next-Before")
        if following is None:
            break
        before = f"&before={following}"
        api.submit(metadata={"team": "a", "n": 1})  # comes before all of them
        if ids(answer) and "completed" in query:
            retention.forget(core, ids(answer)[-1])  # does nothing to those that wait

    assert seen == whole


def test_what_has_no_common_hit_is_given_up_for_now_in_short_calls_and_found_by_going_on(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = api.submit(metadata={"team": "a", "n": 1})
    moment = core.store.listing.moment("default", job_id) or 0
    words = [terms.word("team", "a"), terms.word("n", "1")]
    pipe = core.store.client.pipeline(transaction=False)
    for n in range(1, 60_000):  # each has one of the two
        pipe.zadd(keys.terms("default"), {f"{words[n % 2]}{moment + n:013x}": 0})
    pipe.execute()
    query = "/jobs?metadata.team=a&metadata.n=1"
    call: Any = core.store.listing._scripts.call
    steps: list[int] = []

    def counted(name: str, *arguments: Any) -> Any:
        answer = call(name, *arguments)
        steps.extend([int(answer[2])] if name == "match" else [])
        return answer

    monkeypatch.setattr(core.store.listing._scripts, "call", counted)

    first = api.get(f"{query}&page=1")

    assert first.get_json()["data"] == []
    assert first.get_json()["pagination"]["total_is_estimate"]
    assert len(steps) <= 22
    assert max(steps) < 2_000
    following = first.headers["X-Next-Before"]
    link = f'</jobs?metadata.team=a&metadata.n=1&before={following}&limit=20>; rel="next"'
    assert first.headers["Link"] == link
    found: list[str] = []
    while following is not None:
        answer = api.get(f"{query}&before={following}")
        following, found = answer.headers.get("X-Next-Before"), found + ids(answer)
    assert found == [job_id]


def test_a_list_may_begin_behind_a_job(api: Api, core: Core) -> None:
    made = [api.submit() for _ in range(5)]

    answer = api.get(f"/jobs?before={made[3]}&limit=2")

    assert ids(answer) == [made[2], made[1]]
    assert answer.get_json()["pagination"]["total"] == 3
    following = answer.headers["X-Next-Before"]
    assert answer.headers["Link"] == f'</jobs?before={following}&limit=2>; rel="next"'
    assert ids(api.get(f"/jobs?before={following}")) == [made[0]]
    gone = api.get("/jobs?before=job_gone")
    assert (gone.status_code, gone.get_json()["detail"]["field"]) == (400, "before")


def test_only_eight_scalar_values_with_short_names_are_searchable(api: Api) -> None:
    metadata = {"list": [1], "none": None, "k" * 65: "x", "": "x"} | {f"k{n}": n for n in range(9)}
    job_id = api.submit(metadata=metadata)

    for n in range(8):
        assert ids(api.get(f"/jobs?metadata.k{n}={n}")) == [job_id]
    assert ids(api.get("/jobs?metadata.k8=8")) == []
    assert ids(api.get("/jobs?metadata.list=[1]")) == []
    assert api.get(f"/jobs/{job_id}").get_json()["metadata"] == metadata


def test_kinds_have_words_of_their_own() -> None:
    kinds = [(state, kind) for state in State for kind in (*spec.JOB_TYPES, "x", "run_task", "e2e")]

    assert len({terms.of_kind(*kind) for kind in kinds}) == len(kinds)


@given(
    jobs=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=30),
    offset=st.integers(0, 12), limit=st.integers(1, 5),
    chosen=st.sampled_from([(), ("pending",), ("pending", "cancelled")]),
    team=st.sampled_from([None, "a", "b"]), cut=st.integers(0, 30), chunk=st.integers(1, 9),
)  # fmt: skip
@hypothesis.settings(
    max_examples=40, deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_every_list_is_what_a_look_at_all_records_finds(
    core: Core, jobs: list[tuple[str, bool]], offset: int, limit: int,
    chosen: tuple[str, ...], team: str | None, cut: int, chunk: int,
) -> None:  # fmt: skip
    core.store.client.flushall()
    made = []
    for name, ends in jobs:
        sandbox = factories.sandbox()
        kind = {"a": "command_task", "b": "runbook_task"}[name]
        x = factories.execution(
            sandbox_id=sandbox.id, metadata={"team": name}, spec=factories.spec(job_type=kind)
        )
        core.store.executions.submit(x, sandbox)
        if ends:
            core.store.executions.cancel(x.id, "no", {"t": 1, "e": []})
        made.append((x.id, "cancelled" if ends else "pending", name))
    listing = core.store.listing
    listing.STEPS = chunk
    moment = listing.moment("default", made[cut][0]) if cut < len(made) else None
    found = made[:cut] if moment is not None else made
    found = [(i, s, t) for i, s, t in found if (not chosen or s in chosen) and team in (None, t)]

    page = listing.page(
        "default", states=chosen, metadata={"team": team} if team else {}, before=moment,
        offset=offset, limit=limit,
    )  # fmt: skip

    assert [x.id for x in page.executions] == [i for i, _, _ in found[::-1]][
        offset : offset + limit
    ]
    assert page.total == len(found)
    assert (page.next is not None) == (len(found) > offset + limit)


def test_pending_jobs_show_their_place(api: Api) -> None:
    for _ in range(3):
        api.submit()

    assert [job["queue_position"] for job in api.get("/jobs").get_json()] == [3, 2, 1]


def test_a_list_shows_a_brief_of_a_long_job_and_reads_nothing_long(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = api.submit(command="echo " + "x" * 50_000, metadata={"note": "y" * 5_000, "team": "a"})
    short = api.submit(metadata={"team": "a"})
    read = []
    called = core.store.listing._scripts.call
    monkeypatch.setattr(
        core.store.listing._scripts,
        "call",
        lambda name, *words: read.append((name, called(name, *words))) or read[-1][1],
    )

    rows = api.get("/jobs?metadata.team=a").get_json()

    assert [row["id"] for row in rows] == [short, long]
    assert "is_brief" not in rows[0] and rows[1]["is_brief"] is True
    assert rows[0]["spec"]["command"] == "echo hello"
    assert rows[1]["spec"]["command"].startswith("echo xxx")
    assert rows[1]["metadata"] == {"team": "a"}
    assert len(json.dumps(rows)) < 4_000
    assert sum(len(json.dumps(answer)) for name, answer in read if name == "rows") < 6_000
    assert len(api.get(f"/jobs/{long}").get_json()["spec"]["command"]) > 50_000
