"""Histories of tasks, held against the diagram of the quick reference, as it is printed there."""

from __future__ import annotations

import itertools
import json

import pytest

from knify import lifecycle, model
from knify.core import Core
from knify.lifecycle import State
from knify.services.jobs import final_entry
from tests.api.parts import Api, Worker
from tests.tasks.parts import TASKS, execution, show, submit

DIAGRAM = """\
pending → staging → provisioning → ready → running → completing → completed
    ↓         ↓          ↓           ↓        ↓           ↓
cancelled  cancelled  cancelled   cancelled failed   failed/failed_preserved
"""
_TOP, _, _BOTTOM = DIAGRAM.splitlines()
PATH = [State(word) for word in _TOP.split(" → ")]
ENDS = [
    (here, State(end))
    for here, ends in zip(PATH, _BOTTOM.split(), strict=False)
    for end in ends.split("/")
] + [(State.COMPLETING, State.COMPLETED)]


def walked(core: Core, x: model.Execution, here: State) -> model.Execution:
    """A claimed one, brought to a state on its way."""
    for state in PATH[1 : PATH.index(here) + 1]:
        if state is State.READY:
            made = {"state": "active", "node": "n1", "container": "c1"}
            x = core.store.executions.note(x, "sandbox_created", "made", sandbox=made)
        x = core.store.executions.move(x, state).execution
    return x


def history(api: Api, task_id: str) -> list[str]:
    """The states of its history, in order."""
    answer = api.get(
        f"{TASKS}/{task_id}/logs?stream=events", headers={"Accept": "application/x-ndjson"}
    )
    events = map(json.loads, answer.text.splitlines())
    return [event["state"] for event in events if event["state"]]


def test_the_table_allows_what_is_printed_and_cancelling_everywhere() -> None:
    moves = [*itertools.pairwise(PATH), *ENDS]

    assert all(there in lifecycle.EXECUTION[here] for here, there in moves)
    assert {end for _, end in ENDS} == lifecycle.TERMINAL
    assert all(State.CANCELLED in lifecycle.EXECUTION[here] for here in PATH[:-1])


@pytest.mark.parametrize(("here", "end"), ENDS)
def test_a_history_is_the_printed_path_to_its_end(
    api: Api, core: Core, worker: Worker, here: State, end: State
) -> None:
    task_id = submit(api)
    x = walked(core, worker.claim(execution(api, task_id)), here)

    entry = final_entry(end.value, 0)
    sandbox = {"state": "paused"} if PATH.index(here) >= PATH.index(State.READY) else {}
    core.store.executions.move(x, end, entries=[entry], sandbox=sandbox)

    assert history(api, task_id) == [*PATH[: PATH.index(here) + 1], end]
    assert show(api, task_id)["state"] == end
    again = api.request("DELETE", f"{TASKS}/{task_id}")
    assert again.get_json()["error"] == "task_already_terminal"


def test_what_nobody_has_begun_is_cancelled_at_once(api: Api) -> None:
    task_id = submit(api)

    api.request("DELETE", f"{TASKS}/{task_id}")

    assert history(api, task_id) == ["pending", "cancelled"]
