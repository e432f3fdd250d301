from __future__ import annotations

import pytest

from api.jobs import schemas, view
from knify import hints
from knify.core import Core
from knify.lifecycle import EXECUTION, State
from knify.store import keys as store_keys
from tests.api.parts import COMMAND, Api, Worker


def test_every_state_has_a_status_and_terminal_ones_never_look_alive() -> None:
    assert set(view.STATUS) == set(EXECUTION)
    assert set(view.STATUS.values()) == {"pending", "running", "completed", "failed", "cancelled"}
    for state, after in EXECUTION.items():
        assert (view.STATUS[state] in ("pending", "running")) == bool(after)


def test_a_submitted_job_is_pending_and_workers_are_told(api: Api, core: Core) -> None:
    answer = api.post("/jobs", {"spec": COMMAND, "name": "first"})

    assert answer.status_code == 200
    body = answer.get_json()
    assert body == {"job_id": body["job_id"], "status": "pending"}
    assert core.hints.sent == [(hints.ADVANCE, body["job_id"], "")]  # type: ignore[attr-defined]


def test_a_job_shows_its_spec_as_it_was_written(api: Api) -> None:
    spec = COMMAND | {"metadata": {"team": "a", "n": 1}, "timeout": "2m", "cpus": 1}

    job_id = api.post("/jobs", {"spec": spec, "name": "first"}).get_json()["job_id"]

    job = api.get(f"/jobs/{job_id}").get_json()
    assert job["spec"] == spec
    assert job["metadata"] == {"team": "a", "n": 1}
    assert (job["status"], job["state"], job["name"]) == ("pending", "pending", "first")
    assert job["queue_position"] == 1
    assert job["started_at"] is job["completed_at"] is job["cursor_session_id"] is None
    assert job["created_at"].endswith("Z")
    assert [event["stage"] for event in job["events"]] == ["created"]
    assert job["artifacts"] == {"files": []}


def test_the_documented_fields_are_those_that_are_answered(api: Api, worker: Worker) -> None:
    job_id = api.submit()

    assert set(api.get(f"/jobs/{job_id}").get_json()) == set(schemas.JobDetail().fields)
    assert set(api.get("/jobs").get_json()[0]) == set(schemas.Job().fields)


def test_a_finished_job_shows_its_end(api: Api, worker: Worker) -> None:
    job_id = api.submit()
    worker.keep(job_id, {"b.txt": b"b", "a.txt": b"a"})
    worker.finish(worker.lines(worker.run(job_id), "hello"))

    job = api.get(f"/jobs/{job_id}").get_json()

    assert (job["status"], job["exit_code"], job["error"]) == ("completed", 0, None)
    assert job["started_at"] <= job["completed_at"]
    assert job["artifacts"] == {"files": ["a.txt", "b.txt"]}
    assert "queue_position" not in job
    assert job["events"][-1]["stage"] == "completed"


def test_the_same_idempotency_key_and_body_replay_the_first_answer(
    api: Api, worker: Worker
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = api.post("/jobs", {"spec": COMMAND, "name": "x"}, headers=headers)
    worker.run(first.get_json()["job_id"])

    again = api.post("/jobs", {"name": "x", "spec": COMMAND}, headers=headers)

    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(api.get("/jobs").get_json()) == 1


def test_the_same_idempotency_key_with_another_body_is_a_conflict(api: Api) -> None:
    headers = {"Idempotency-Key": "k-1"}
    api.post("/jobs", {"spec": COMMAND}, headers=headers)

    again = api.post("/jobs", {"spec": COMMAND, "name": "y"}, headers=headers)

    assert (again.status_code, again.get_json()["code"]) == (422, "IDEMPOTENCY_CONFLICT")
    assert len(api.get("/jobs").get_json()) == 1


def test_an_idempotency_key_is_bound_to_its_route(api: Api, worker: Worker) -> None:
    headers = {"Idempotency-Key": "k-1"}
    job_id = api.post("/jobs", {"spec": COMMAND}, headers=headers).get_json()["job_id"]
    worker.finish(worker.run(job_id))

    answer = api.post(f"/jobs/{job_id}/continue", {"spec": COMMAND}, headers=headers)

    assert answer.status_code == 422


def test_a_continuation_uses_the_sandbox_of_its_parent(api: Api, worker: Worker) -> None:
    job_id = api.submit()
    done = worker.finish(worker.run(job_id))

    answer = api.post(f"/jobs/{job_id}/continue", {"spec": COMMAND})

    body = answer.get_json()
    assert answer.status_code == 200
    assert body == {
        "job_id": body["job_id"],
        "status": "pending",
        "parent_job_id": job_id,
        "sandbox_id": done.sandbox_id,
        "cursor_session_id": None,
    }
    assert api.get(f"/jobs/{body['job_id']}").get_json()["parent_job_id"] == job_id


def test_after_cleanup_nothing_continues(api: Api, worker: Worker) -> None:
    job_id = api.submit()
    worker.finish(worker.run(job_id))

    first = api.post(f"/jobs/{job_id}/cleanup")
    again = api.post(f"/jobs/{job_id}/cleanup")
    after = api.post(f"/jobs/{job_id}/continue", {"spec": COMMAND})

    assert first.status_code == again.status_code == 200
    assert first.get_json()["success"] is True
    assert (after.status_code, after.get_json()["code"]) == (409, "SANDBOX_DELETED")


def test_an_expired_sandbox_is_gone(api: Api, worker: Worker, core: Core) -> None:
    job_id = api.submit()
    done = worker.finish(worker.run(job_id))
    sandbox_id = done.sandbox_id or ""
    assert core.store.sandboxes.retire(sandbox_id, expired=True).verdict == "again"  # not yet
    core.store.client.hset(store_keys.sandbox(sandbox_id), "expires_at", 1)
    assert core.store.sandboxes.retire(sandbox_id, expired=True).verdict == "deleted"

    answer = api.post(f"/jobs/{job_id}/continue", {"spec": COMMAND})

    assert (answer.status_code, answer.get_json()["code"]) == (410, "SANDBOX_EXPIRED")


def test_a_job_that_never_had_a_sandbox_cannot_be_continued(api: Api) -> None:
    job_id = api.submit()
    api.post(f"/jobs/{job_id}/cancel")

    answer = api.post(f"/jobs/{job_id}/continue", {"spec": COMMAND})

    assert (answer.status_code, answer.get_json()["code"]) == (409, "SANDBOX_NONE")


def test_cleanup_of_a_busy_sandbox_names_the_jobs_and_force_cancels_them(
    api: Api, worker: Worker
) -> None:
    job_id = api.submit()
    worker.run(job_id)

    refused = api.post(f"/jobs/{job_id}/cleanup")
    forced = api.post(f"/jobs/{job_id}/cleanup?force=true")

    assert (refused.status_code, refused.get_json()["code"]) == (409, "SANDBOX_BUSY")
    assert refused.get_json()["detail"] == {"jobs": [job_id]}
    assert forced.status_code == 200


def test_cancelling_what_waits_ends_it_at_once_and_twice_is_harmless(api: Api) -> None:
    job_id = api.submit()

    first = api.post(f"/jobs/{job_id}/cancel", {"reason": "changed my mind"})
    again = api.post(f"/jobs/{job_id}/cancel")

    assert first.get_json() == again.get_json() == {"job_id": job_id, "status": "cancelled"}
    events = api.get(f"/jobs/{job_id}/events").get_json()["events"]
    assert events[-1]["detail"] == "changed my mind"
    output = api.get(f"/jobs/{job_id}/output").get_json()["events"]
    assert [event["type"] for event in output] == ["completed"]


def test_output_is_whole_in_both_forms(api: Api, worker: Worker) -> None:
    job_id = api.submit()
    x = worker.run(job_id)
    for i in range(300):
        x = worker.lines(x, *(f"line {i} {k} \u2028 <b> \x1b[0m" for k in range(3)), events=2)
    worker.finish(x)

    neutral = api.get(f"/jobs/{job_id}/cursor").get_json()["events"]
    raw = api.get(f"/jobs/{job_id}/output?raw=1").get_json()["events"]

    assert len(neutral) == 300 * 3 * 2 + 1
    assert neutral[-1]["type"] == "completed"
    assert [line["n"] for line in raw] == list(range(1, 901))
    assert set(raw[0]) == {"n", "stream", "line", "timestamp"}


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_the_last_output_event_is_always_completed(api: Api, worker: Worker, state: State) -> None:
    job_id = api.submit()
    worker.finish(worker.run(job_id), state)

    last = api.get(f"/jobs/{job_id}/output").get_json()["events"][-1]

    assert (last["type"], last["status"]) == ("completed", state.value)
