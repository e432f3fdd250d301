"""Shells in the sandboxes of tasks that have ended: who opens them, and what may be typed."""

from __future__ import annotations

from typing import Any

import pytest

from api.tasks import typing
from knify import errors
from knify.core import Core
from knify.lifecycle import State
from knify.services import keys, packing, shells
from knify.store import typed
from tests.api.parts import Api, Worker
from tests.tasks.parts import TASKS, execution, submit


def opened(api: Api, task_id: str) -> dict[str, Any]:
    answer = api.post(f"{TASKS}/{task_id}/shell")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


@pytest.fixture
def task(api: Api, worker: Worker) -> str:
    """A task that failed and left its sandbox."""
    task_id = submit(api, id="t-1", lifecycle={"failure_action": "preserve"})
    worker.finish(worker.run(execution(api, task_id)), State.FAILED_PRESERVED)
    return task_id


def test_a_shell_is_a_turn_of_the_tasks_sandbox_and_there_is_one(
    api: Api, core: Core, task: str
) -> None:
    first, again = opened(api, task), opened(api, task)

    job = api.get(f"/jobs/{first['shell_id']}").get_json()
    assert again["shell_id"] == first["shell_id"] and again["token"] != first["token"]
    assert job["sandbox_id"] == api.get(f"{TASKS}/{task}").get_json()["sandbox_id"]
    assert job["metadata"]["shell_of"] == task and job["metadata"]["opened_by"]
    assert job["spec"]["hang_timeout"] == shells.IDLE
    assert shells.is_shell(core.store.executions.get(first["shell_id"], tenant="default"))
    assert first["url"] == (
        f"{TASKS}/{task}/shell?shell_id={first['shell_id']}&token={first['token']}"
    )


def test_only_admins_open_one_and_only_of_their_own_tasks(
    api: Api, stranger: Api, core: Core, task: str
) -> None:
    writer = Api(api.client, keys.create(core, "default", scopes=("read", "write")).text)

    assert writer.post(f"{TASKS}/{task}/shell").status_code == 403
    foreign, unknown = (stranger.post(f"{TASKS}/{name}/shell") for name in (task, "none"))
    assert foreign.status_code == unknown.status_code == 404


def test_what_still_runs_has_no_shell(api: Api, worker: Worker, task: str) -> None:
    running = submit(api, id="t-2")
    worker.run(execution(api, running))
    api.post(f"/jobs/{execution(api, task)}/continue", {"spec": {
        "job_type": "command_task", "command": "true"}})  # fmt: skip

    for name in (running, task):
        answer = api.post(f"{TASKS}/{name}/shell")
        assert (answer.status_code, answer.get_json()["error"]) == (409, "sandbox_busy")


def test_a_token_of_one_shell_opens_no_other(api: Api, task: str) -> None:
    made = opened(api, task)
    path, query = made["url"].split("?")
    other = query.replace(made["shell_id"], "job_other")

    assert api.client.get(f"{path}?{other}").status_code == 401
    told = api.client.get(f"{path}?{query}")
    assert told.status_code == 400 and "WebSocket" in told.get_json()["message"]
    assert api.client.get(f"{path}?{query}").status_code == 401


def test_a_job_that_is_no_shell_of_the_task_is_not_typed_into(api: Api, task: str) -> None:
    other = api.submit(metadata={"shell_of": task})

    answer = api.get(f"{TASKS}/{task}/shell?shell_id={other}")

    assert answer.status_code == 409


def test_whoever_may_write_plants_no_shell_for_an_admin_to_join(
    api: Api, core: Core, task: str
) -> None:
    writer = Api(api.client, keys.create(core, "default", scopes=("read", "write")).text)
    known = {"shell_of": task, "opened_by": "key_admin"}
    planted = writer.post(f"/jobs/{execution(api, task)}/continue", {"spec": {
        "job_type": "command_task", "command": list(shells.COMMAND), "env": {"ENV": "/workspace/x"},
        "timeout": "8h", "metadata": known}}).get_json()["job_id"]  # fmt: skip

    opened = api.post(f"{TASKS}/{task}/shell")
    joined = api.get(f"{TASKS}/{task}/shell?shell_id={planted}")

    assert (opened.status_code, opened.get_json()["error"]) == (409, "sandbox_busy")
    assert joined.status_code == 409
    assert not shells.is_shell(core.store.executions.get(planted, tenant="default"))


def test_no_request_says_that_it_is_a_shell(api: Api, task: str) -> None:
    spec = {"job_type": "command_task", "command": "true", "opened_by": "key_admin"}

    answers = [
        api.post("/jobs", {"spec": spec}),
        api.post(f"/jobs/{execution(api, task)}/continue", {"spec": spec}),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]


def test_each_key_that_may_type_is_in_the_shells_history_once(
    api: Api, core: Core, task: str
) -> None:
    shell = opened(api, task)["shell_id"]
    x = core.store.executions.get(shell, tenant="default")
    opener = core.store.access.find_key(x.opened_by or "")
    other = keys.create(core, "default", scopes=("admin",)).record

    for key in (opener, other, other, opener):
        assert key is not None
        shells.enter(core, key, x)

    told = [e.detail for e in core.store.streams.events(x.id) if e.stage == shells.ENTERED]
    assert told == [
        f"{x.opened_by} may type, the key that opened it",
        f"{other.id} may type, another key",
    ]


def test_a_shell_that_was_packed_is_one_still(
    api: Api, core: Core, worker: Worker, task: str
) -> None:
    shell = opened(api, task)["shell_id"]
    worker.finish(worker.run(shell))

    assert packing.pack(core, shell)

    x = core.store.executions.get(shell, tenant="default")
    assert x.packed and shells.find(core, "default", task, shell) == x


def test_words_are_taken_once_and_in_their_order_and_only_so_many_wait(
    api: Api, core: Core, worker: Worker, task: str
) -> None:
    x = worker.run(opened(api, task)["shell_id"])
    hear = typing.into(core, x)
    hear('{"type": "input", "data": "ls\\n"}')
    hear('{"type": "signal", "name": "INT"}')

    assert core.store.typed.take(x.id, x.fence) == [("input", "ls\n"), ("signal", "INT")]
    assert core.store.typed.take(x.id, x.fence) == []
    with pytest.raises(errors.LeaseLost):
        core.store.typed.take(x.id, x.fence - 1)
    for _ in range(typed.MOST):
        hear('{"type": "input", "data": "x"}')
    with pytest.raises(errors.BadRequest, match="too much waits"):
        hear('{"type": "input", "data": "x"}')
    worker.finish(x)
    with pytest.raises(errors.BadRequest, match="has ended"):
        hear('{"type": "input", "data": "x"}')


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "{}", '{"type": "input"}', '{"type": "input", "data": ""}',
        '{"type": "input", "data": 1}', '{"type": "signal", "name": "KILL"}',
        '{"type": "input", "data": "x", "more": 1}', '{"type": "exec", "data": "x"}',
    ],
)  # fmt: skip
def test_what_is_no_word_is_refused(core: Core, text: str) -> None:
    with pytest.raises(errors.BadRequest, match="a signal is"):
        typing._read(text)
