"""Submitting, showing and cancelling tasks."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from api.tasks import reading, routes, view
from knify import model
from knify.core import Core
from knify.lifecycle import TERMINAL, State
from knify.services import deletion, packing
from knify.store import keys
from tests.api.parts import Api, Worker
from tests.tasks.parts import TASKS, execution, manifest, show, submit

YAML = """\
version: "1"
kind: Task
metadata:
  id: task-001
  name: "Hello"
  labels: {team: platform}
agent:
  type: command
  command: echo hello
"""


def post_yaml(api: Api, text: str | bytes, kind: str = "application/yaml") -> Any:
    return api.request("POST", TASKS, data=text, content_type=kind)


@pytest.mark.parametrize("kind", reading.YAML[:2])
def test_a_manifest_in_yaml_is_accepted(api: Api, kind: str) -> None:
    answer = post_yaml(api, YAML, kind)

    body = answer.get_json()
    assert answer.status_code == 202, answer.text
    assert (body["task_id"], body["state"]) == ("task-001", "pending")
    assert body["links"] == {
        "self": f"{TASKS}/task-001",
        "logs": f"{TASKS}/task-001/logs",
        "artifacts": f"{TASKS}/task-001/artifacts",
    }
    assert show(api, "task-001")["created_at"] == body["created_at"]


def test_a_task_shows_what_it_is_and_was_asked_for(api: Api) -> None:
    task_id = submit(api, labels={"team": "platform", "n": 1}, vm={"memory": "1G"})

    shown = show(api, task_id)

    assert task_id.startswith("task_")
    assert (shown["id"], shown["execution_id"]) == (task_id, task_id)
    assert (shown["name"], shown["state"]) == ("Hello", "pending")
    assert shown["labels"] == {"team": "platform", "n": 1}
    assert shown["progress"]["output_bytes"] == 0
    assert shown["definition"]["vm"] == {
        "profile": "agentic-dev", "cpus": 4, "memory": "1G", "disk": "40G",
        "network_mode": "isolated",
    }  # fmt: skip
    assert shown["definition"]["metadata"]["id"] == task_id


def test_a_task_is_a_job_too_and_a_job_is_no_task(api: Api) -> None:
    task_id, job_id = submit(api), api.submit()

    assert api.get(f"/jobs/{task_id}").get_json()["spec"]["job_type"] == "command_task"
    assert api.get(f"{TASKS}/{job_id}").status_code == 404


def test_a_users_id_is_unique_until_its_task_is_gone(api: Api, stranger: Api, core: Core) -> None:
    submit(api, id="task-001")
    first = execution(api, "task-001")

    again = api.post(TASKS, manifest(id="task-001"))

    assert again.status_code == 409
    assert again.get_json()["error"] == "duplicate_task_id"
    assert again.get_json()["details"]["existing_task"] == {"id": "task-001", "state": "pending"}
    assert submit(stranger, id="task-001") == "task-001"
    deletion.delete(core, "default", first)
    assert api.get(f"{TASKS}/task-001").status_code == 404
    submit(api, id="task-001")
    assert execution(api, "task-001") != first


def test_of_many_submissions_of_one_id_one_is_accepted(core: Core, api: Api) -> None:
    codes: list[int] = []

    def race() -> None:
        mine = Api(api.client.application.test_client(), api.key)
        codes.append(mine.post(TASKS, manifest(id="one")).status_code)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(codes) == [202] + [409] * 7
    assert core.store.client.hlen(keys.names("default")) == 1


def test_a_task_is_found_by_its_own_id_and_by_its_executions(api: Api) -> None:
    submit(api, id="task-001")
    found = execution(api, "task-001")

    assert show(api, found)["id"] == "task-001"
    assert api.post(TASKS, manifest(id=found)).status_code == 409


def test_foreign_and_unknown_ids_answer_alike(api: Api, stranger: Api) -> None:
    task_id = submit(api, id="mine")
    paths = ("", "/logs", "/artifacts", "/artifacts/a.txt")
    for name, path in ((task_id, p) for p in paths):
        foreign = stranger.get(f"{TASKS}/{name}{path}")
        unknown = stranger.get(f"{TASKS}/none{path}")

        assert (foreign.status_code, unknown.status_code) == (404, 404)
        assert foreign.get_json()["error"] == unknown.get_json()["error"] == "task_not_found"
        assert foreign.text.replace("mine", "none") == unknown.text
    assert stranger.request("DELETE", f"{TASKS}/mine").status_code == 404


def test_the_same_idempotency_key_submits_once_in_either_language(api: Api) -> None:
    written = manifest(id="task-001", labels={"team": "platform"})
    headers = {"Idempotency-Key": "k1"}

    first = api.post(TASKS, written, headers=headers)
    again = api.request("POST", TASKS, data=YAML, content_type="text/yaml", headers=headers)
    other = api.post(TASKS, manifest(), headers=headers)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 422
    assert other.get_json()["error"] == "idempotency_conflict"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"vm": {"memory": "8X"}}, "vm.memory"),
        ({"vm": {"cpus": 0}}, "vm.cpus"),
        ({"vm": {"profile": "basik"}}, "vm.profile"),
        ({"repository": {"url": "ext::sh -c x"}}, "repository.url"),
        ({"repository": {"url": "file:///etc"}}, "repository.url"),
        ({"repository": {"url": "https://127.0.0.1/x.git"}}, "repository.url"),
        ({"repository": {"url": "https://github.com/a/b", "branch": "-x"}}, "repository.branch"),
        (
            {"repository": {"url": "https://github.com/a/b", "subpath": "../x"}},
            "repository.subpath",
        ),
        ({"lifecycle": {"timeout": "soon"}}, "lifecycle.timeout"),
        ({"lifecycle": {"stage_timeout": "0s"}}, "lifecycle.stage_timeout"),
        ({"lifecycle": {"artifact_patterns": ["../x"]}}, "lifecycle.artifact_patterns.0"),
        ({"vm": {"network_mode": "full", "allowed_hosts": ["x y"]}}, "vm.allowed_hosts.0"),
        ({"agent": {"type": "command", "prompt": "x"}}, "agent.prompt"),
        ({"agent": {"type": "runbook"}}, "agent.prompt"),
        ({"vm": {"cpu": 1}}, "vm.cpu"),
    ],
)
def test_a_wrong_value_is_named_by_its_place_in_the_manifest(
    api: Api, fields: dict[str, Any], field: str
) -> None:
    answer = api.post(TASKS, manifest(**fields))

    assert answer.status_code == 400, answer.text
    assert answer.get_json()["error"] == "invalid_manifest"
    assert answer.get_json()["details"]["field"] == field


@pytest.mark.parametrize(
    ("text", "kind", "status", "error"),
    [
        (b"a: [", "application/yaml", 400, "invalid_manifest"),
        (b"", "application/yaml", 400, "invalid_manifest"),
        (b"\xff\xfe", "application/yaml", 400, "invalid_manifest"),
        (b"{", "application/json", 400, "invalid_manifest"),
        (b'{"a": 1, "a": 2}', "application/json", 400, "invalid_manifest"),
        (b"a: &a [x]\nb: *c", "text/yaml", 400, "invalid_manifest"),
        (b"x", "text/plain", 415, "unsupported_media_type"),
        (b"a: " + b"x" * 70_000, "application/yaml", 413, "too_large"),
    ],
)
def test_what_is_no_manifest_is_refused(
    api: Api, text: bytes, kind: str, status: int, error: str
) -> None:
    answer = post_yaml(api, text, kind)

    assert (answer.status_code, answer.get_json()["error"]) == (status, error), answer.text


def test_what_no_node_can_ever_hold_is_refused_and_defaults_are_cut(api: Api, core: Core) -> None:
    facts = {"cpus": 2, "cpu_overcommit": 1.0, "memory": 2**31, "disk": 2**33}
    core.store.registry.heartbeat("n1", facts)

    answer = api.post(TASKS, manifest(vm={"cpus": 16}))
    fits = submit(api)

    assert answer.status_code == 507
    assert answer.get_json()["error"] == "insufficient_resources"
    assert set(answer.get_json()["details"]) == {"requested", "available"}
    found = core.store.executions.find(fits)
    assert found is not None
    assert (found.spec.resources.cpus, found.spec.resources.memory) == (2.0, 2**31)


def test_a_spec_has_what_the_manifest_says(api: Api, core: Core) -> None:
    lifecycle = {"failure_action": "preserve", "timeout": "8h", "stage_timeout": "5m"}
    found = core.store.executions.find(submit(api, lifecycle=lifecycle))

    assert found is not None
    spec = found.spec
    assert (spec.failure_action, spec.timeout, spec.stage_timeout) == ("preserve", 28_800.0, 300.0)
    assert (spec.provision_timeout, spec.hang_timeout) == (600.0, 1_800.0)
    assert (spec.profile, spec.resources.cpus, spec.repository) == ("agentic-dev", 4.0, None)


def test_a_repository_and_a_profile_go_into_the_spec(api: Api, core: Core) -> None:
    repository = {"url": "https://github.com/org/app.git", "branch": "main", "subpath": "docs"}
    found = core.store.executions.find(
        submit(api, repository=repository, vm={"profile": "basic", "memory": "3G"})
    )

    assert found is not None
    assert found.spec.repository == model.Repository(**repository)
    assert (found.spec.resources.cpus, found.spec.resources.memory) == (2.0, 3 * 1024**3)
    assert show(api, found.id)["definition"]["repository"] == repository


def test_a_pending_task_is_cancelled_at_once_and_only_once(api: Api) -> None:
    task_id = submit(api)

    answer = api.request("DELETE", f"{TASKS}/{task_id}", json={"reason": "wrong branch"})
    again = api.request("DELETE", f"{TASKS}/{task_id}")

    body = answer.get_json()
    assert answer.status_code == 200
    assert (body["success"], body["task_id"]) == (True, task_id)
    assert (body["previous_state"], body["new_state"]) == ("pending", "cancelled")
    shown = show(api, task_id)
    assert (shown["state"], shown["state_message"]) == ("cancelled", "wrong branch")
    assert again.status_code == 409
    assert again.get_json()["error"] == "task_already_terminal"


def test_a_running_task_is_told_to_end_and_its_answer_says_what_is(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "SETTLE_SECONDS", 0.0)
    task_id = submit(api)
    worker.run(task_id)

    answer = api.request("DELETE", f"{TASKS}/{task_id}")

    assert (answer.get_json()["new_state"], answer.get_json()["success"]) == ("running", True)
    assert show(api, task_id)["state_message"] == "is to be cancelled: cancelled by request"


def test_a_task_that_has_ended_keeps_its_answers_when_it_is_packed(
    api: Api, core: Core, worker: Worker
) -> None:
    submit(api, id="task-001", name="n" * 200, labels={"team": "platform"})
    found = execution(api, "task-001")
    worker.finish(worker.lines(worker.run(found), "hello"))
    before = show(api, "task-001")

    assert packing.pack(core, found)

    assert show(api, "task-001") | {"progress": 0} == before | {"progress": 0}
    assert show(api, "task-001")["progress"]["output_bytes"] == 6
    assert api.get(f"{TASKS}/task-001/logs").text == "hello\n"
    assert api.post(TASKS, manifest(id="task-001")).status_code == 409


def test_files_are_listed_with_checksums_and_downloaded_by_name_or_path(
    api: Api, worker: Worker
) -> None:
    task_id = submit(api)
    worker.finish(worker.run(task_id))
    worker.keep(task_id, {"report.md": b"# ok", "a/x.txt": b"1", "b/x.txt": b"2"})

    listed = api.get(f"{TASKS}/{task_id}/artifacts").get_json()

    report = next(a for a in listed["artifacts"] if a["name"] == "report.md")
    assert (listed["total_count"], listed["total_size_bytes"]) == (3, 6)
    got = api.get(report["download_url"])
    assert (got.data, f"sha256:{got.headers['X-Checksum-SHA256']}") == (b"# ok", report["checksum"])
    assert got.headers["Content-Disposition"].startswith("attachment")
    assert api.get(f"{TASKS}/{task_id}/artifacts/report.md").data == b"# ok"
    assert api.get(f"{TASKS}/{task_id}/artifacts/a/x.txt").data == b"1"
    assert api.get(f"{TASKS}/{task_id}/artifacts/x.txt").status_code == 404
    assert api.get(f"{TASKS}/{task_id}/artifacts/../report.md").status_code == 404


def test_every_state_has_its_words() -> None:
    assert set(view.MESSAGES) == set(State) > set(TERMINAL)


def test_without_a_key_nothing_opens_and_the_error_has_the_tasks_form(api: Api) -> None:
    answer = api.client.get(TASKS)

    assert answer.status_code == 401
    assert answer.get_json()["error"] == "unauthorized"
    assert set(answer.get_json()) == {"error", "message", "details"}
    assert api.get("/api/v1/nothing").get_json()["error"] == "not_found"
    assert api.request("PUT", TASKS).get_json()["error"] == "method_not_allowed"
