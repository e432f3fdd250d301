"""Runs of jobs over HTTP: triggered, listed, shown, cancelled, counted, deleted with their job."""

from __future__ import annotations

from typing import Any

import pytest

from api.projects import view
from knify import sweep
from knify.core import Core
from knify.lifecycle import State
from knify.services import packing
from tests.api.parts import Api, Worker
from tests.projects import parts
from tests.projects.parts import PATH, made


@pytest.fixture
def job(api: Api) -> str:
    """The path of one that prints."""
    return f"{PATH}/{made(api, env={'A': '1', 'B': '2'})['id']}"


def trigger(api: Api, job: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"{job}/runs", body or None)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()["data"]
    return found


def test_a_triggered_run_is_pending_and_goes_its_way(api: Api, job: str, worker: Worker) -> None:
    run = trigger(api, job)
    path = f"{job}/runs/{run['id']}"

    x = worker.run(run["id"])
    running = api.get(path).get_json()["data"]
    worker.finish(x)
    ended = api.get(path).get_json()["data"]

    assert run["id"].startswith("run_") and run["job_id"] in job
    assert (run["status"], run["trigger"], run["attempt"]) == ("pending", "manual", 1)
    assert running["status"] == "running" and running["started_at"]
    assert (ended["status"], ended["exit_code"]) == ("succeeded", 0)
    assert ended["duration_seconds"] >= 0
    assert api.get(f"/jobs/{run['id']}").get_json()["status"] == "completed"


def test_a_run_may_have_other_variables_another_command_and_more_arguments(
    api: Api, job: str, worker: Worker
) -> None:
    plain = trigger(api, job)
    other = trigger(api, job, env={"B": "3", "C": "4"}, command=["echo", "x"], args=["y", "z"])
    appended = trigger(api, job, args=["one two"])

    specs = [worker.claim(run["id"]).spec for run in (plain, other, appended)]

    assert specs[0].env == {"A": "1", "B": "2"}
    assert specs[1].env == {"A": "1", "B": "3", "C": "4"}
    assert specs[1].command == ("echo", "x", "y", "z")
    assert specs[2].command == ("sh", "-c", "echo hello", "sh", "one two")
    assert api.get(job).get_json()["data"]["command"] == "echo hello"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"env": {"1": "x"}}, "env.1"),
        ({"env": "x"}, "env"),
        ({"args": "x"}, "args"),
        ({"command": ""}, "command"),
        ({"image": "x"}, "image"),
    ],
)
def test_overrides_that_cannot_be_are_refused(
    api: Api, job: str, body: dict[str, Any], field: str
) -> None:
    answer = api.post(f"{job}/runs", body)

    assert answer.status_code == 400
    assert answer.get_json()["detail"]["field"] == field
    assert api.get(f"{job}/runs").get_json()["data"] == []


def test_a_prompt_has_no_command_to_be_replaced(api: Api) -> None:
    spec = {"job_type": "runbook_task", "prompt": "```sh\ntrue\n```"}
    job = api.post(PATH, {"name": "b", "spec": spec}).get_json()["data"]

    answer = api.post(f"{PATH}/{job['id']}/runs", {"args": ["x"]})

    assert (answer.status_code, answer.get_json()["detail"]["field"]) == (400, "args")


def test_runs_are_listed_the_newest_first(api: Api, job: str) -> None:
    made_runs = [trigger(api, job)["id"] for _ in range(5)]

    page = api.get(f"{job}/runs?page=2&limit=2").get_json()

    assert [run["id"] for run in page["data"]] == made_runs[::-1][2:4]
    assert page["pagination"] == {"page": 2, "limit": 2, "total": 5, "pages": 3}
    assert api.get(f"{job}/runs?limit=101").status_code == 400
    assert api.get(f"{job}/runs?page=0").status_code == 400


def test_a_run_that_has_ended_cannot_be_cancelled(api: Api, job: str, worker: Worker) -> None:
    run = trigger(api, job)["id"]

    first = api.post(f"{job}/runs/{run}/cancel")
    again = api.post(f"{job}/runs/{run}/cancel")

    assert (first.status_code, first.get_json()["data"]["status"]) == (200, "cancelled")
    assert first.get_json()["message"] == "Cancelled"
    assert (again.status_code, again.get_json()["code"]) == (409, "RUN_ALREADY_TERMINAL")


def test_a_run_is_none_of_another_job_and_a_job_is_no_run(api: Api, job: str) -> None:
    other = f"{PATH}/{made(api, name='other')['id']}"
    run, plain = trigger(api, job)["id"], api.submit()

    answers = [api.get(f"{path}/runs/{name}") for path, name in ((other, run), (job, plain))]
    answers.append(api.post(f"{other}/runs/{run}/cancel"))

    assert [a.status_code for a in answers] == [404, 404, 404]


def test_the_status_counts_runs_and_shows_the_newest(
    api: Api, core: Core, job: str, worker: Worker
) -> None:
    for to in (State.COMPLETED, State.COMPLETED, State.FAILED):
        parts.end(worker, trigger(api, job)["id"], to)
    api.post(f"{job}/runs/{trigger(api, job)['id']}/cancel")
    worker.run(trigger(api, job)["id"])
    newest = trigger(api, job)["id"]

    found = api.get(f"{job}/status").get_json()["data"]

    assert found["last_run"]["id"] == newest
    assert found["counts"] == {
        "pending": 1, "running": 1, "succeeded": 2, "failed": 1, "cancelled": 1, "total": 6
    }  # fmt: skip
    assert found["schedule"] is None and found["next_run_at"] is None
    assert list(parts.problems(core)) == []


def test_the_status_of_a_scheduled_job_has_its_next_due_time(api: Api) -> None:
    job = made(api, schedule="0 0 1 1 *", timezone="Asia/Tokyo")

    found = api.get(f"{PATH}/{job['id']}/status").get_json()["data"]

    assert found["schedule"] == "0 0 1 1 *" and found["last_run"] is None
    assert found["next_run_at"] == job["next_runs"][0]
    assert found["next_run_at"].endswith("12-31T15:00:00.000Z")


def test_a_deleted_job_leaves_nothing(api: Api, core: Core, job: str, worker: Worker) -> None:
    parts.end(worker, trigger(api, job)["id"], State.COMPLETED)
    packed = trigger(api, job)["id"]
    parts.end(worker, packed, State.FAILED)
    packing.pack(core, packed)
    waits, runs = trigger(api, job)["id"], trigger(api, job)["id"]
    x = worker.run(runs)

    answer = api.request("DELETE", job)

    assert answer.get_json() == {"message": "Deleted", "status": 200, "data": None}
    assert api.get(job).status_code == api.get(f"{job}/runs").status_code == 404
    assert api.get(f"/jobs/{waits}").status_code == api.get(f"/jobs/{packed}").status_code == 404
    assert api.request("DELETE", job).status_code == 404
    assert core.store.executions.is_to_end(runs)
    worker.finish(x, State.CANCELLED)
    core.store.client.zadd("knify:dropping", {job.rpartition("/")[2]: 0}, xx=True)
    for _ in range(2):
        sweep.sweep(core)
    kinds = ("d", "x", "t:default:p", "t:default:d", "t:default:x", "cron", "dropping", "retries")
    assert [k for kind in kinds for k in core.store.client.keys(f"knify:{kind}*")] == []


def test_runs_beyond_what_a_job_keeps_are_deleted(api: Api, core: Core, worker: Worker) -> None:
    job = f"{PATH}/{made(api, keep_succeeded=2, keep_failed=0)['id']}"
    good = [trigger(api, job)["id"] for _ in range(4)]
    bad = trigger(api, job)["id"]
    for run in good:
        parts.end(worker, run, State.COMPLETED)
    parts.end(worker, bad, State.FAILED)

    sweep.sweep(core)
    left = [run["id"] for run in api.get(f"{job}/runs").get_json()["data"]]
    api.request("PATCH", job, json={"keep_succeeded": 1})
    sweep.sweep(core)

    assert left == good[:1:-1]
    assert [run["id"] for run in api.get(f"{job}/runs").get_json()["data"]] == good[3:]
    assert list(parts.problems(core)) == []


def test_a_packed_run_is_still_shown(api: Api, core: Core, job: str, worker: Worker) -> None:
    run = trigger(api, job)["id"]
    parts.end(worker, run, State.COMPLETED)
    before = api.get(f"{job}/runs/{run}").get_json()

    assert packing.pack(core, run)

    assert api.get(f"{job}/runs/{run}").get_json() == before
    assert [r["id"] for r in api.get(f"{job}/runs").get_json()["data"]] == [run]
    api.request("DELETE", f"/jobs/{run}")
    assert api.get(f"{job}/status").get_json()["data"]["counts"]["total"] == 0
    assert list(parts.problems(core)) == []


def test_the_same_idempotency_key_triggers_once(api: Api, job: str) -> None:
    answers = [api.post(f"{job}/runs", headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert answers[0].get_json() == answers[1].get_json()
    assert api.get(f"{job}/runs").get_json()["pagination"]["total"] == 1


def test_all_states_have_a_word() -> None:
    assert set(view.STATUS) == set(State)
