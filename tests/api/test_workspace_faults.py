"""Whoever dies while workspaces come and go leaves neither a broken version nor a stray object."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest

from knify import sweep
from knify.core import Core
from knify.store import keys
from tests.api.parts import Api, archive
from tests.retention.dying import dying

ONE, TWO = archive({"a": b"1"}), archive({"a": b"2"})
Step = Callable[[Api], object]


def ids(api: Api) -> list[str]:
    return [w["workspace_id"] for w in api.get("/workspaces").get_json()]


def delete_all(api: Api) -> None:
    for workspace_id in ids(api):
        api.request("DELETE", f"/workspaces/{workspace_id}")


def pass_time(core: Core) -> None:
    """All that is to go one day is due."""
    for key in core.store.client.zrange(keys.OBJECT_REMOVALS, 0, -1):
        core.store.client.zadd(keys.OBJECT_REMOVALS, {key: 1})
    sweep.sweep(core)


def check(api: Api, core: Core) -> None:
    """What is listed can be downloaded, and nothing else is there."""
    for workspace_id in ids(api):
        assert api.get(f"/workspaces/{workspace_id}/download").status_code == 200
    found = [core.store.workspaces.find(workspace_id) for workspace_id in ids(api)]
    named = {w.key for w in found if w is not None}
    assert {row.key for row in core.objects.list("workspaces")} == named
    assert core.store.client.zcard(keys.OBJECT_REMOVALS) == 0


STEPS: dict[str, Step] = {
    "a first version": lambda api: api.upload(ONE, name="new"),
    "a next version": lambda api: api.upload(TWO, name="x"),
    "files that are there": lambda api: api.upload(ONE, name="other"),
    "unchanged files": lambda api: api.upload(ONE, name="x"),
    "a deletion": delete_all,
}


@pytest.mark.parametrize("what", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_call_leaves_whole_versions_and_no_stray_object(
    api: Api, core: Core, what: str, when: str
) -> None:
    calls = (
        (core.store.workspaces._scripts, "call"),
        (core.store.client, "zadd"),
        (core.sealed, "put"),
        (core.objects, "stat"),
        (core.objects, "delete"),
    )
    for n in range(6):
        delete_all(api)
        api.upload(ONE, name="x")

        with dying(n, when, *calls):
            STEPS[what](api)

        pass_time(core)
        check(api, core)
        STEPS[what](api)  # done again, it succeeds
        pass_time(core)
        check(api, core)


def test_equal_files_uploaded_at_once_are_kept_once(app: flask.Flask, api: Api, core: Core) -> None:
    def upload(n: int) -> tuple[int, int]:
        mine = Api(app.test_client(), api.key)
        answer = mine.upload(ONE, name=f"w{n % 2}")
        return answer.status_code, answer.get_json()["version"]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(upload, range(8)))

    assert {status for status, _ in answers} == {200}
    pass_time(core)
    check(api, core)
    assert len(list(core.objects.list("workspaces"))) == 1
    assert len(ids(api)) == 2  # each name has one version, whoever came first


def test_an_upload_that_took_too_long_is_refused_whole(api: Api, core: Core) -> None:
    def swept(*_: object, **__: object) -> str:
        pass_time(core)
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("knify.services.uploads._gone", swept)
        answer = api.upload(ONE, name="x")

    assert (answer.status_code, ids(api)) == (503, [])
    pass_time(core)
    check(api, core)
