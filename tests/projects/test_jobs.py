"""Jobs of projects over HTTP: made, shown, found, changed, deleted; what is refused, and how."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from api.projects import view
from knify import errors
from knify.core import Core
from knify.definitions import Definition
from knify.lifecycle import State
from knify.services import keys, schedules
from knify.store import jobkeys
from tests.api.parts import Api, Worker
from tests.projects import parts
from tests.projects.parts import PATH, made

#: A body, the field that is wrong with it, and what is said of it.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"schedule": "0 0 1 1 * *"}, "schedule", "leave out the seconds"),
    ({"schedule": "@reboot"}, "schedule", "nothing is due at a reboot"),
    ({"schedule": "0 0 30 2 *"}, "schedule", "no such month"),
    ({"schedule": "0 0 * * *", "timezone": "Mars/Base"}, "timezone", "no time zone"),
    ({"timezone": "../../etc/passwd"}, "timezone", "no time zone"),
    ({"schedule": 5}, "schedule", "must be a string"),
    ({"schedule": "0 0 * 2 MON#5"}, "schedule", "is not due within 8 years"),
    ({"image": "docker.io/evil:1"}, "image", "not allowed"),
    ({"image": "not an image"}, "image", "must look like"),
    ({"command": None}, "command", "needs command"),
    ({"command": ""}, "command", "needs command"),
    ({"env": {"1A": "x"}}, "env.1A", "letters, digits"),
    ({"name": ""}, "name", ""),
    ({"name": "x" * 201}, "name", ""),
    ({"tags": ["a,b"]}, "tags.0", "a tag has"),
    ({"tags": ["x"] * 21}, "tags", "more than 20"),
    ({"concurrency_policy": "perhaps"}, "concurrency_policy", "one of allow, forbid, replace"),
    ({"catch_up": True}, "catch_up", "must be a string"),
    ({"retries": 11}, "retries", ""),
    ({"jitter_seconds": -1}, "jitter_seconds", ""),
    ({"starting_deadline_seconds": 0}, "starting_deadline_seconds", ""),
    ({"suspended": "yes"}, "suspended", "must be a boolean"),
    ({"timeout": "soon"}, "timeout", "duration"),
    ({"spec": {"job_type": "command_task", "command": "x"}}, "command", "leave it out"),
    ({"retrys": 1}, "retrys", "did you mean retries"),
]

#: All routes of a job.
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PATCH", "", {"retries": 1}),
    ("PUT", "", {"retries": 1}),
    ("DELETE", "", None),
    ("GET", "/status", None),
    ("GET", "/runs", None),
    ("POST", "/runs", {}),
    ("GET", "/runs/RUN", None),
    ("POST", "/runs/RUN/cancel", None),
]


def test_a_job_is_shown_as_it_was_made(api: Api) -> None:
    answer = api.post(PATH, {"name": "nightly", "image": "localhost/knify/base:latest",
        "command": ["echo", "hi"], "env": {"A": "1"}, "schedule": " 30  2 * * 1-5 ",
        "timezone": "Europe/Berlin", "tags": ["db", "db", "team=ops"]})  # fmt: skip

    body = answer.get_json()
    assert (answer.status_code, body["status"], body["message"]) == (201, 201, "Job created")
    job = body["data"]
    assert job["id"].startswith("jobdef_")
    assert (job["workspace_id"], job["project_id"]) == ("default", "p1")
    assert (job["image"], job["command"]) == ("localhost/knify/base:latest", ["echo", "hi"])
    assert (job["env"], job["tags"]) == ({"A": "1"}, ["db", "team=ops"])
    assert job["schedule"] == "30 2 * * 1-5"
    assert job["schedule_description"] == "At 02:30, Monday through Friday"
    assert len(job["next_runs"]) == 5 and job["next_runs"] == sorted(job["next_runs"])
    assert job["concurrency_policy"] == "allow" and job["catch_up"] == "latest"
    assert api.get(f"{PATH}/{job['id']}").get_json()["data"] == job


def test_any_type_of_job_can_be_defined_by_its_spec(api: Api, worker: Worker) -> None:
    spec = {"job_type": "runbook_task", "prompt": "```sh\necho 1\n```", "priority": 3}

    job = api.post(PATH, {"name": "book", "spec": spec}).get_json()["data"]
    run = api.post(f"{PATH}/{job['id']}/runs").get_json()["data"]

    assert job["spec"] == spec and job["schedule"] is None and job["next_runs"] == []
    assert worker.claim(run["id"]).spec.job_type == "runbook_task"


def test_a_list_has_the_newest_first_and_finds_by_tags(api: Api) -> None:
    for n in range(5):
        made(api, name=f"j{n}", tags=["all", f"n{n % 2}"])

    page = api.get(f"{PATH}?page=2&limit=2").get_json()
    odd = api.get(f"{PATH}?tags=all,n1").get_json()

    assert [job["name"] for job in page["data"]] == ["j2", "j1"]
    assert page["pagination"] == {"page": 2, "limit": 2, "total": 5, "pages": 3}
    assert [job["name"] for job in odd["data"]] == ["j3", "j1"]
    assert [j["name"] for j in api.get(f"{PATH}?tags=n0").get_json()["data"]] == ["j4", "j2", "j0"]
    assert api.get(f"{PATH}?tags=none").get_json()["data"] == []


def test_a_project_is_there_as_long_as_it_has_jobs(api: Api) -> None:
    here = "/v1/workspaces/default/projects"
    job = made(api)

    before = api.get(here).get_json()["data"]
    api.request("DELETE", f"{PATH}/{job['id']}")

    assert [(p["id"], p["jobs"]) for p in before] == [("p1", 1)]
    assert api.get(here).get_json() == {"message": "List of projects", "status": 200, "data": []}
    assert api.get(PATH).get_json()["data"] == []


def test_a_job_has_a_size_and_the_longest_field_is_told(core: Core) -> None:
    long = {"job_type": "command_task", "command": "x", "env": {"A": "x" * 65_536}}
    for body, field in (
        ({"command": "x" * 65_536}, "command"),
        ({"command": "x", "env": {"A": "x" * 65_536}}, "env"),
        ({"spec": long}, "spec.env"),
    ):
        with pytest.raises(errors.BadRequest, match="more than the 65,536 of what") as refused:
            schedules.create(core, "default", "p1", {"name": "long"} | body, id="jobdef_long")

        assert refused.value.detail == {"field": field}


def test_a_list_reads_nothing_that_is_long_and_looks_for_no_due_time(api: Api, core: Core) -> None:
    job = made(api, command="x" * 60_000, schedule="0 4 * * *")
    core.store.client.hdel(jobkeys.definition(job["id"]), "body")

    (row,) = api.get(PATH).get_json()["data"]

    assert len(row["command"]) <= 200 and row["spec"]["job_type"] == "command_task"
    assert row["next_runs"] == job["next_runs"][:1]
    assert row["schedule_description"] == job["schedule_description"] == "At 04:00"


def test_a_list_shows_what_an_older_version_has_changed(api: Api, core: Core) -> None:
    job = made(api, env={"A": "1"})
    key = jobkeys.definition(job["id"])
    body = {"request": {"job_type": "command_task", "command": "y" * 60_000}}
    core.store.client.hset(key, mapping={"body": json.dumps(body), "rev": 2})

    (row,) = api.get(PATH).get_json()["data"]

    assert row["command"].startswith("yyy") and len(row["command"]) <= 200


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_a_change_leaves_out_stays(api: Api, method: str) -> None:
    job = made(api, env={"A": "1"}, tags=["x"], schedule="0 4 * * *")

    answer = api.request(method, f"{PATH}/{job['id']}", json={"command": "echo two", "retries": 2})

    changed = answer.get_json()["data"]
    assert answer.get_json()["message"] == "Job updated"
    assert changed["command"] == "echo two" and changed["spec"]["env"] == {"A": "1"}
    same = ("name", "schedule", "tags", "next_runs", "env")
    assert {n: changed[n] for n in same} == {n: job[n] for n in same}
    assert changed["retries"] == 2


def test_null_takes_back_what_was_written(api: Api) -> None:
    job = made(api, env={"A": "1"}, tags=["x"], schedule="0 4 * * *", keep_failed=3, catch_up="all")
    fields = dict.fromkeys(("env", "tags", "schedule", "keep_failed", "catch_up"))

    changed = api.request("PATCH", f"{PATH}/{job['id']}", json=fields).get_json()["data"]

    assert changed["env"] == {} and changed["tags"] == [] and changed["keep_failed"] is None
    assert changed["schedule"] is None and changed["next_runs"] == []
    assert changed["catch_up"] == "latest"
    assert api.get(f"{PATH}?tags=x").get_json()["data"] == []


def test_a_name_is_free_again_when_its_job_has_another_or_is_gone(api: Api) -> None:
    first, second = made(api, name="a"), made(api, name="b")

    taken = api.request("PATCH", f"{PATH}/{second['id']}", json={"name": "a"})
    api.request("PATCH", f"{PATH}/{first['id']}", json={"name": "c"})
    api.request("DELETE", f"{PATH}/{second['id']}")

    assert (taken.status_code, taken.get_json()["code"]) == (409, "NAME_TAKEN")
    assert made(api, name="a")["name"] == "a" and made(api, name="b")["name"] == "b"
    assert api.post(PATH, parts.ECHO | {"name": "c"}).get_json()["code"] == "NAME_TAKEN"
    assert api.post(PATH.replace("p1", "p2"), parts.ECHO | {"name": "c"}).status_code == 201


def test_suspending_takes_the_due_times_away_and_resuming_gives_new_ones(api: Api) -> None:
    job = made(api, schedule="* * * * *")
    path = f"{PATH}/{job['id']}"

    off = api.request("PATCH", path, json={"suspended": True}).get_json()["data"]
    on = api.request("PATCH", path, json={"suspended": False}).get_json()["data"]

    assert off["next_runs"] == [] and off["suspended"]
    assert len(on["next_runs"]) == 5


def test_the_same_idempotency_key_makes_one_job(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}

    answers = [api.post(PATH, parts.ECHO, headers=headers) for _ in range(2)]

    assert answers[0].get_json() == answers[1].get_json()
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert api.get(PATH).get_json()["pagination"]["total"] == 1


def test_what_cannot_be_is_refused_with_the_name_of_its_field(api: Api) -> None:
    for body, field, words in WRONG:
        answer = api.post(PATH, parts.ECHO | body)

        found = answer.get_json()
        assert answer.status_code == 400, found
        assert found["detail"]["field"] == field, found
        assert words in found["error"] and found["message"] == found["error"]
        assert (found["status"], found["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"job_type": "nothing"}, "spec.job_type"),
        ({"job_type": "command_task"}, "spec.command"),
        ({"job_type": "command_task", "command": "x", "image": "evil:1"}, "spec.image"),
        ({"job_type": "runbook_task", "prompt": "x", "command": "y"}, "spec.command"),
    ],
)
def test_a_wrong_spec_is_told_by_its_own_path(api: Api, spec: dict[str, Any], field: str) -> None:
    answer = api.post(PATH, {"name": "n", "spec": spec})

    assert answer.status_code == 400
    assert answer.get_json()["detail"]["field"] == field


def test_a_schedule_that_is_due_too_often_is_refused(core: Core) -> None:
    strict = replace(core, settings=replace(core.settings, schedule_seconds=600.0))

    with pytest.raises(errors.BadRequest, match="more often than every 600 s"):
        parts.definition(strict, schedule="*/5 * * * *")

    assert parts.definition(strict, schedule="*/10 * * * *").schedule == "*/10 * * * *"


def test_to_a_stranger_a_job_might_as_well_not_be_there(api: Api, stranger: Api) -> None:
    job = made(api)
    run = api.post(f"{PATH}/{job['id']}/runs").get_json()["data"]
    theirs = PATH.replace("default", "other")
    for method, end, body in ROUTES:
        rest, more = end.replace("RUN", run["id"]), {} if body is None else {"json": body}

        foreign = stranger.request(method, f"{PATH}/{job['id']}{rest}", **more)
        moved = stranger.request(method, f"{theirs}/{job['id']}{rest}", **more)
        unknown = stranger.request(method, f"{theirs}/jobdef_x{rest}", **more)

        assert foreign.status_code == moved.status_code == unknown.status_code == 404
        assert foreign.get_json()["error"] == "no workspace default"
        assert moved.get_json() == _renamed(unknown.get_json(), "jobdef_x", job["id"])
    assert api.get(f"{PATH}/{job['id']}").status_code == 200


def _renamed(body: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {k: v.replace(old, new) if isinstance(v, str) else v for k, v in body.items()}


def test_a_job_of_another_project_is_not_found_in_this_one(api: Api) -> None:
    job = made(api)

    answer = api.get(f"{PATH.replace('p1', 'p2')}/{job['id']}")

    assert answer.status_code == 404


def test_a_key_that_only_reads_changes_nothing(api: Api, core: Core) -> None:
    job = made(api)
    reader = Api(api.client, keys.create(core, "default", scopes=("read",)).text)

    answers = [
        reader.post(PATH, parts.ECHO),
        reader.request("DELETE", f"{PATH}/{job['id']}"),
        reader.post(f"{PATH}/{job['id']}/runs"),
    ]

    assert [a.status_code for a in answers] == [403, 403, 403]
    assert reader.get(PATH).status_code == 200


def test_the_view_knows_every_state() -> None:
    assert set(view.STATUS) == set(State)
    assert view.STATUSES == ("pending", "running", "succeeded", "failed", "cancelled")


def test_a_change_is_made_again_when_the_scheduler_moved_the_job_meanwhile(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = parts.definition(core)
    store, tries = core.store.definitions, []

    def racing(new: Definition, *, rev: int | None) -> Definition:
        if not tries:
            core.store.client.hset(f"knify:d:{d.id}", "last_at", 1)
        tries.append(new)
        return put(new, rev=rev)

    put = store.put
    monkeypatch.setattr(store, "put", racing)
    changed = schedules.change(core, "default", "p1", d.id, {"retries": 3})

    assert (changed.retries, changed.last_at, len(tries)) == (3, 1, 2)


def test_a_job_is_found_by_its_name(api: Api) -> None:
    for n in range(3):
        made(api, name=f"j {n}", tags=[f"t{n}"])

    def named(query: str) -> list[str]:
        answer = api.get(f"{PATH}?{query}").get_json()
        assert answer["pagination"]["total"] == len(answer["data"])
        return [job["name"] for job in answer["data"]]

    assert named("name=j%201") == ["j 1"]
    assert named("name=j%201&tags=t1") == ["j 1"]
    assert named("name=j%201&tags=t2") == named("name=j") == named("name=") == []
    assert api.get(f"{PATH.replace('p1', 'p2')}?name=j%201").get_json()["data"] == []


def test_a_dash_is_the_keys_own_workspace(api: Api, core: Core) -> None:
    job, own = made(api), PATH.replace("/default/", "/-/")
    stranger = Api(api.client, keys.create(core, "strangers", scopes=("read", "write")).text)

    assert api.get(f"{own}/{job['id']}").get_json()["data"]["workspace_id"] == "default"
    assert [one["id"] for one in api.get(f"{own}?name=echo").get_json()["data"]] == [job["id"]]
    assert stranger.get(f"{own}/{job['id']}").status_code == 404
    assert stranger.get(f"{own}?name=echo").get_json()["data"] == []
