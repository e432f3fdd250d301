"""Sandboxes over HTTP."""

from __future__ import annotations

from knify.core import Core
from knify.services import keys
from knify.store.sandboxes import Orphan
from tests.api.parts import Api, Worker


def test_a_tenants_sandboxes_are_listed_newest_first_with_their_jobs(
    api: Api, worker: Worker
) -> None:
    jobs = [api.submit() for _ in range(3)]
    worker.finish(worker.run(jobs[0]))

    rows = api.get("/sandboxes").get_json()

    assert [row["jobs"] for row in rows] == [[jobs[2]], [jobs[1]], []]
    assert (rows[2]["state"], rows[2]["node"]) == ("paused", "n1")
    assert rows[2]["expires_at"] is not None
    page = api.get("/sandboxes?page=2&limit=1").get_json()
    assert page["data"] == [rows[1]]
    assert page["pagination"]["total"] == 3
    assert api.get(f"/sandboxes/{rows[1]['id']}").get_json() == rows[1]


def test_foreign_sandboxes_answer_like_ones_that_do_not_exist(api: Api, stranger: Api) -> None:
    api.submit()
    (row,) = api.get("/sandboxes").get_json()
    missing = row["id"][:-4] + "zzzz"

    assert stranger.get("/sandboxes").get_json() == []
    foreign, none = (stranger.get(f"/sandboxes/{name}") for name in (row["id"], missing))
    assert foreign.status_code == none.status_code == 404
    assert foreign.get_json()["error"] == none.get_json()["error"].replace(missing, row["id"])


def test_an_idle_sandbox_is_kept_for_longer_and_never_for_less(
    api: Api, stranger: Api, worker: Worker
) -> None:
    job = api.submit()
    path = f"/sandboxes/{api.get(f'/jobs/{job}').get_json()['sandbox_id']}/extend"
    busy = api.post(path)
    worker.finish(worker.run(job))
    before = api.get(path.removesuffix("/extend")).get_json()["expires_at"]

    shorter, whole = api.post(path, {"expires_in": "1h"}), api.post(path)

    assert (busy.status_code, busy.get_json()["code"]) == (409, "SANDBOX_BUSY")
    assert shorter.get_json()["expires_at"] == before < whole.get_json()["expires_at"]
    for wrong in ({"expires_in": "31d"}, {"expires_in": "soon"}, {"expires_in": 0}):
        assert api.post(path, wrong).get_json()["detail"]["field"] == "expires_in"
    assert stranger.post(path).status_code == 404
    api.post(f"/jobs/{job}/cleanup")
    assert api.post(path).get_json()["code"] == "SANDBOX_DELETED"


def test_orphans_are_for_administrators(api: Api, core: Core) -> None:
    core.store.registry.heartbeat("n1", {})
    core.store.sandboxes.note_orphan(Orphan("sandbox_x", "n1", ("container", "volume"), 1, 2))
    reader = Api(api.client, keys.create(core, "default", scopes=("read",)).text)

    assert api.get("/sandboxes?orphans=true").get_json() == [
        {
            "id": "sandbox_x", "state": "orphan", "node": "n1", "kinds": ["container", "volume"],
            "created_at": "1970-01-01T00:00:00.001Z", "found_at": "1970-01-01T00:00:00.002Z",
            "kept_until": "1970-01-02T00:00:00.002Z",
        }
    ]  # fmt: skip
    assert reader.get("/sandboxes?orphans=true").status_code == 403
    assert reader.get("/sandboxes").status_code == 200


def test_the_network_of_a_running_job_is_changed_and_told(
    api: Api, stranger: Api, worker: Worker, core: Core
) -> None:
    job = api.submit(network_mode="outbound", allowed_hosts=["a.com"])
    sandbox = api.get(f"/jobs/{job}").get_json()["sandbox_id"]
    path = f"/sandboxes/{sandbox}/network"
    wanted = {"network_mode": "outbound", "allowed_hosts": ["B.com", "*.c.org:8443"]}

    assert api.request("PATCH", path, json=wanted).status_code == 409  # nothing runs yet
    x = worker.run(job)
    closed = api.request("PATCH", path, json=wanted)
    assert closed.status_code == 409 and "way out" in closed.get_json()["error"]
    core.store.doors.keep("n1", job, {})
    answer = api.request("PATCH", path, json=wanted)

    assert answer.get_json() == {
        "sandbox_id": sandbox,
        "job_id": job,
        "network_mode": "outbound",
        "allowed_hosts": ["b.com", "*.c.org:8443"],
    }
    assert core.store.doors.look(job).network["allowed_hosts"] == ("b.com", "*.c.org:8443")
    told = [e["detail"] for e in api.get(f"/jobs/{job}/events").get_json()["events"]]
    assert "Network is outbound now: b.com, *.c.org:8443" in told
    assert stranger.request("PATCH", path, json=wanted).status_code == 404
    worker.finish(x)
    assert api.request("PATCH", path, json=wanted).status_code == 409


def test_a_network_that_is_none_is_refused_with_its_field(api: Api) -> None:
    api.submit()
    (row,) = api.get("/sandboxes").get_json()
    for body, field in (
        ({"network_mode": "host"}, "network_mode"),
        ({"network_mode": "isolated", "allowed_hosts": []}, "allowed_hosts"),
        ({"network_mode": "full", "allowed_hosts": ["10.0.0.1"]}, "allowed_hosts.0"),
        ({"allowed_hosts": ["a.com"]}, "network_mode"),
        ({"network_mode": "full", "more": 1}, "more"),
    ):
        answer = api.request("PATCH", f"/sandboxes/{row['id']}/network", json=body)
        assert (answer.status_code, answer.get_json()["detail"]["field"]) == (400, field)
