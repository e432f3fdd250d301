"""Tasks that name a parent, through the API."""

from __future__ import annotations

from typing import Any

import pytest

from knify import families
from knify.core import Core
from knify.services import jobs
from tests.api.parts import Api, Worker
from tests.tasks.parts import TASKS, execution, manifest, show, submit

ALL = {"max_concurrent": 1, "wait_for_children": True, "aggregate_artifacts": True}


def child(api: Api, name: str, parent: str, **fields: Any) -> Any:
    body = manifest(id=name, **fields)
    body["metadata"] |= {"parent_id": parent}
    return api.post(TASKS, body)


def test_a_parent_shows_its_children_and_they_show_their_parent(api: Api) -> None:
    submit(api, id="parent", children=ALL)
    assert child(api, "a", "parent").status_code == 202
    assert child(api, "b", execution(api, "parent")).status_code == 202

    parent, found = show(api, "parent"), show(api, "b")

    assert parent["children"] == ALL | {"counts": {"pending": 2}}
    assert (parent["parent_id"], found["parent_id"], found["children"]) == (None, "parent", None)
    assert parent["definition"]["children"] == ALL
    assert show(api, "a")["definition"]["metadata"]["parent_id"] == "parent"
    rows = api.get(f"{TASKS}?parent_id=parent").get_json()["tasks"]
    assert [(row["id"], row["parent_id"]) for row in rows] == [("b", "parent"), ("a", "parent")]
    assert api.get(f"{TASKS}?parent_id=nobody").get_json()["total_count"] == 0


def test_a_child_that_must_wait_for_its_siblings_says_so(api: Api, worker: Worker) -> None:
    submit(api, id="parent", children=ALL)
    for name in ("a", "b"):
        child(api, name, "parent")

    worker.run(execution(api, "a"))

    words = "its parent task lets 1 of its children run at a time"
    assert show(api, "b")["state_message"] == words


@pytest.mark.parametrize(
    ("children", "field", "words"),
    [
        ({"max_concurrent": 0}, "children.max_concurrent", "between 1 and"),
        ({"max_concurrent": 1001}, "children.max_concurrent", "between 1 and"),
        ({"max_concurrent": "2"}, "children.max_concurrent", "must be a whole number"),
        ({"wait_for_childen": True}, "children.wait_for_childen", "wait_for_children?"),
        ({"wait_for_children": 1}, "children.wait_for_children", "must be true or false"),
        ([], "children", "must be an object"),
    ],
)
def test_what_is_wrong_about_children_is_named(
    api: Api, children: Any, field: str, words: str
) -> None:
    answer = api.post(TASKS, manifest(children=children))

    assert answer.status_code == 400
    body = answer.get_json()
    assert (body["error"], body["details"]["field"]) == ("invalid_manifest", field)
    assert words in body["message"]


def test_only_a_task_of_ones_own_can_be_a_parent(api: Api, stranger: Api) -> None:
    submit(stranger, id="foreign")
    job = api.submit()

    answers = [child(api, "x", parent) for parent in ("foreign", "nobody", job, "no/id")]

    assert [a.status_code for a in answers] == [400] * 4
    foreign, unknown = (a.get_json() for a in answers[:2])
    assert foreign["details"] == unknown["details"] == {"field": "metadata.parent_id"}
    assert foreign["message"].replace("foreign", "nobody") == unknown["message"]


def test_an_ended_task_has_no_more_children(api: Api, worker: Worker) -> None:
    submit(api, id="parent")
    worker.finish(worker.run(execution(api, "parent")))

    answer = child(api, "late", "parent")

    assert (answer.status_code, answer.get_json()["error"]) == (409, "task_already_terminal")
    assert answer.get_json()["details"]["field"] == "metadata.parent_id"


def test_generations_have_an_end(api: Api) -> None:
    submit(api, id="t0")
    answers = [child(api, f"t{n}", f"t{n - 1}") for n in range(1, families.DEPTH + 2)]

    assert [a.status_code for a in answers] == [202] * families.DEPTH + [400]
    assert "4 generations" in answers[-1].get_json()["message"]


def test_who_cancels_a_task_cancels_its_children(api: Api) -> None:
    submit(api, id="parent")
    child(api, "a", "parent")
    child(api, "b", "a")

    assert api.request("DELETE", f"{TASKS}/parent").status_code == 200

    assert [show(api, name)["state"] for name in ("parent", "a", "b")] == ["cancelled"] * 3
    assert show(api, "b")["error"] == "its parent task was cancelled"


def test_a_parents_list_has_the_files_of_its_children(api: Api, worker: Worker, core: Core) -> None:
    submit(api, id="parent", children=ALL)
    child(api, "a", "parent")
    parent, below = execution(api, "parent"), execution(api, "a")
    worker.keep(parent, {"own.txt": b"own"})
    worker.keep(below, {"dir/a b.txt": b"from a"})

    body = api.get(f"{TASKS}/parent/artifacts").get_json()

    assert [a["path"] for a in body["artifacts"]] == ["own.txt", "children/a/dir/a b.txt"]
    answer = api.get(body["artifacts"][1]["download_url"])
    assert (answer.status_code, answer.data) == (200, b"from a")
    assert api.get(f"{TASKS}/parent/artifacts/children/b/x").status_code == 404
    assert api.get(f"{TASKS}/parent/artifacts/a b.txt").data == b"from a"
    jobs.cancel_any(core, below, "enough")
    assert api.request("DELETE", f"/jobs/{below}").status_code == 204
    paths = [a["path"] for a in api.get(f"{TASKS}/parent/artifacts").get_json()["artifacts"]]
    assert paths == ["own.txt"]


def test_without_the_wish_children_keep_their_files_to_themselves(api: Api, worker: Worker) -> None:
    submit(api, id="parent")
    child(api, "a", "parent")
    worker.keep(execution(api, "a"), {"a.txt": b"a"})

    assert api.get(f"{TASKS}/parent/artifacts").get_json()["artifacts"] == []
    assert api.get(f"{TASKS}/parent/artifacts/children/a/a.txt").status_code == 404
