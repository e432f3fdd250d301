"""The page of the system: who sees it, what it says, and the minutes that it draws."""

from __future__ import annotations

import json

from knify import clock
from knify.core import Core
from knify.lifecycle import State
from knify.store import gauges, minutes
from knify.store.checkups import Checkup
from tests.api.parts import Api, Worker
from tests.console.parts import Pages

NODE = {"slots": 4, "cpus": 2, "memory": 2**30, "disk": 2**33, "images": [], "time": 0}


def test_only_the_operator_sees_it(pages: Pages, reader: Pages, foreigner: Pages) -> None:
    assert pages.get("/system").status_code == 200
    assert [one.get("/system").status_code for one in (reader, foreigner)] == [403, 403]
    assert "/console/system" not in foreigner.text("/jobs")


def test_it_names_nodes_and_what_their_doctor_found(pages: Pages, core: Core) -> None:
    core.store.registry.heartbeat("box-1", NODE, machine="m")
    line = {"name": "disk", "level": "warning", "message": "<b>full</b>", "cure": "make room"}
    core.store.checkups.note("box-1", Checkup(clock.now_ms(), [line]))

    text = pages.text("/system")

    assert all(word in text for word in ("box-1", "1 line to look at", "make room"))
    assert "&lt;b&gt;full" in text


def test_a_node_is_drained_and_taken_back(pages: Pages, core: Core) -> None:
    core.store.registry.heartbeat("box-1", NODE, machine="m")

    drained = pages.post("/system/nodes/box-1/drain")
    assert (drained.status_code, "box-1" in core.store.registry.draining()) == (303, True)
    pages.post("/system/nodes/box-1/undrain")

    assert "box-1" not in core.store.registry.draining()


def test_what_is_no_node_and_no_action_is_not_found(pages: Pages) -> None:
    assert pages.post("/system/nodes/none/drain").status_code == 404
    assert pages.post("/system/nodes/none/explode").status_code == 404


def test_a_minute_has_one_row_of_what_happened_in_it(core: Core, api: Api, worker: Worker) -> None:
    now = clock.now_ms()
    assert core.store.minutes.note(now)
    assert not core.store.minutes.note(now)
    worker.finish(worker.run(api.submit()))
    api.submit()
    core.store.client.delete(f"{minutes.MINUTES}:at")
    assert core.store.minutes.note(now + 60_000)

    (found,) = core.store.minutes.read(60)

    assert (found.at, found.began, found.ended["completed"], found.waiting) == (
        now + 60_000, 2, 1, 1
    )  # fmt: skip
    assert found.wait_seconds is not None


def test_the_minutes_of_a_day_are_kept_and_lost_counters_are_no_negative(core: Core) -> None:
    client = core.store.client
    client.hset(gauges.TALLY, f"came:{State.COMPLETED}", 5)
    for n in range(minutes.KEPT + 3):
        client.rpush(minutes.MINUTES, json.dumps({"at": n, "came:completed": 9}))
    core.store.minutes.note(clock.now_ms())

    assert client.llen(minutes.MINUTES) == minutes.KEPT
    assert core.store.minutes.read(1)[0].ended["completed"] == 0
