"""Lists of tasks: filters, order, pages."""

from __future__ import annotations

from typing import Any

import pytest

from knify.core import Core
from knify.services import packing
from knify.store import tasks
from tests.api.parts import Api, Worker
from tests.store.invariants import problems
from tests.tasks.parts import TASKS, submit


def listed(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"{TASKS}?{query}")
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.get_json()["tasks"]]


def page(api: Api, query: str) -> dict[str, Any]:
    body: dict[str, Any] = api.get(f"{TASKS}?{query}").get_json()
    return body


def test_tasks_are_listed_newest_first_and_jobs_are_not(api: Api) -> None:
    made = [submit(api, id=f"t{n}") for n in range(3)]
    api.submit()

    assert listed(api) == made[::-1]
    assert page(api, "") | {"tasks": []} == {
        "tasks": [], "total_count": 3, "limit": 100, "offset": 0, "has_more": False
    }  # fmt: skip


def test_a_page_says_whether_there_is_more(api: Api) -> None:
    for n in range(5):
        submit(api, id=f"t{n}")

    first, last = page(api, "limit=2&offset=0"), page(api, "limit=2&offset=4")

    assert [t["id"] for t in first["tasks"]] == ["t4", "t3"]
    assert (first["has_more"], first["total_count"]) == (True, 5)
    assert ([t["id"] for t in last["tasks"]], last["has_more"]) == (["t0"], False)


def test_they_are_found_by_states_and_labels(api: Api, worker: Worker, core: Core) -> None:
    submit(api, id="a", labels={"team": "platform", "tier": 1})
    submit(api, id="b", labels={"team": "platform"})
    submit(api, id="c", labels={"team": "web"})
    for name in ("a", "c"):
        x = worker.run(core.store.tasks.named("default", name))
        if name == "c":
            worker.finish(x)

    assert listed(api, "state=running") == ["a"]
    assert listed(api, "state=running,completed") == ["c", "a"]
    assert listed(api, "label.team=platform") == ["b", "a"]
    assert listed(api, "label.team=platform&label.tier=1") == ["a"]
    assert listed(api, "label.team=platform&state=pending") == ["b"]
    assert listed(api, "state=failed") == []
    assert problems(core.store) == []


def test_a_packed_and_a_deleted_task_are_found_as_before_and_not_at_all(
    api: Api, worker: Worker, core: Core
) -> None:
    for name in ("a", "b"):
        submit(api, id=name, labels={"team": "x"})
        worker.finish(worker.run(core.store.tasks.named("default", name)))
    packing.pack(core, core.store.tasks.named("default", "a"))

    assert listed(api, "state=completed&label.team=x") == ["b", "a"]
    core.store.retention.delete(core.store.tasks.named("default", "a"))
    assert listed(api) == ["b"]
    assert problems(core.store) == []


def test_they_are_sorted_by_what_one_asks_for(api: Api, worker: Worker, core: Core) -> None:
    for name, words in (("a", "Zebra"), ("b", "ant"), ("c", "Bee"), ("d", "cow")):
        submit(api, id=name, name=words)
    for name in ("c", "a"):  # in this order they start
        worker.run(core.store.tasks.named("default", name))
    packed = core.store.tasks.named("default", "c")
    x = core.store.executions.find(packed)
    assert x is not None
    worker.finish(x)
    assert packing.pack(core, packed)

    assert listed(api, "sort=name&order=asc") == ["b", "c", "d", "a"]
    assert listed(api, "sort=name&order=desc") == ["a", "d", "c", "b"]
    assert set(listed(api, "sort=started_at&order=asc")[:2]) == {"a", "c"}
    assert listed(api, "sort=started_at&order=desc")[2:] == ["d", "b"]
    assert listed(api, "sort=state_changed_at&order=desc")[0] == "c"
    assert listed(api, "order=asc") == ["a", "b", "c", "d"]
    assert listed(api, "order=asc&limit=2&offset=1") == ["b", "c"]
    assert listed(api, "order=asc&limit=2&offset=3") == ["d"]
    assert listed(api, "order=asc&offset=9") == []
    assert listed(api, "sort=name&order=asc&limit=1&offset=1") == ["c"]


def test_of_more_tasks_than_are_sorted_the_newest_are_and_it_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.Tasks, "SORTED", 4)
    monkeypatch.setattr(tasks.Tasks, "_CHUNK", 2)
    for n in range(6):
        submit(api, id=f"t{n}", name=f"n{n}", labels={"team": "x", "half": n % 2})

    found = page(api, "sort=name&order=asc")
    few = page(api, "sort=name&order=asc&label.half=1")

    assert [t["id"] for t in found["tasks"]] == ["t2", "t3", "t4", "t5"]
    assert (found["total_count"], found["sorted_among"]) == (6, 4)
    assert [t["id"] for t in few["tasks"]] == ["t1", "t3", "t5"]
    assert "sorted_among" not in few


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("offset=-1", "offset"),
        ("state=odd", "state"),
        ("sort=size", "sort"),
        ("order=up", "order"),
        ("stat=running", "stat"),
        ("label.=x", "label"),
        ("&".join(f"label.k{i}=1" for i in range(9)), "label"),
    ],
)
def test_a_wrong_query_is_refused_with_its_name(api: Api, query: str, field: str) -> None:
    answer = api.get(f"{TASKS}?{query}")

    assert answer.status_code == 400
    assert answer.get_json()["details"]["field"].startswith(field)
