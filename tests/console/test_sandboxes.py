"""The pages of sandboxes: what is kept, the jobs in it, and how long."""

from __future__ import annotations

import re

from api.console import jobtree
from knify import clock
from knify.core import Core
from knify.lifecycle import SandboxState
from tests import factories
from tests.api.parts import Api, Worker
from tests.console.parts import Pages

CONTINUED = {"job_type": "command_task", "command": "echo more"}


def sandbox_of(api: Api, job: str) -> str:
    return str(api.get(f"/jobs/{job}").get_json()["sandbox_id"])


def ended(api: Api, worker: Worker, **spec: str) -> tuple[str, str]:
    """A job that has ended, and its paused sandbox."""
    job = api.submit(**spec)
    worker.finish(worker.run(job))
    return job, sandbox_of(api, job)


def test_sandboxes_are_listed_by_state_with_what_their_first_job_was(
    pages: Pages, api: Api, worker: Worker
) -> None:
    _, paused = ended(api, worker, command="echo <b>first</b>")
    waiting = sandbox_of(api, api.submit())
    _, gone = ended(api, worker)
    pages.post(f"/sandboxes/{gone}/cleanup")

    kept, deleted = pages.text("/sandboxes"), pages.text("/sandboxes?tab=deleted")
    part = pages.text("/sandboxes?tab=paused", headers={"X-Knify-Part": "true"})

    assert paused in kept and waiting in kept and gone not in kept
    assert "echo &lt;b&gt;first" in kept and "≤ 10.0 GiB" in kept and "in 29 d" in kept
    assert gone in deleted and paused not in deleted
    assert part.count("data-row") == 1 and "<html" not in part
    assert "No sandbox is lost." in pages.text("/sandboxes?tab=lost")


def test_a_sandboxs_jobs_stand_behind_those_that_they_continue(
    pages: Pages, api: Api, worker: Worker, core: Core
) -> None:
    first, sandbox = ended(api, worker)
    second = api.post(f"/jobs/{first}/continue", {"spec": CONTINUED}).get_json()["job_id"]
    worker.finish(worker.run(second))
    third = api.post(f"/jobs/{second}/continue", {"spec": CONTINUED}).get_json()["job_id"]

    page = pages.text(f"/sandboxes/{sandbox}")

    assert re.findall(r'<li id="(job_\w+)"', page) == [first, second, third]
    assert f'href="/console/jobs/{third}#continue"' in page
    assert "Cancel its jobs and clean up" in page and "Its time begins anew" in page
    assert core.store.lineages.uses([sandbox])[0].executions == 3


def test_a_chain_goes_straight_down_and_its_side_branches_to_the_right() -> None:
    parents = {"a": None, "b": "a", "c": "b", "d": "a", "e": "d", "x": "gone"}
    jobs = [
        factories.execution(id=name, parent_id=parent, created_at=n)
        for n, (name, parent) in enumerate(parents.items())
    ]

    found = jobtree.arrange(jobs)

    assert [(p.job.id, p.depth, p.is_branch) for p in found] == [
        ("a", 0, False), ("b", 1, True), ("c", 1, False), ("d", 0, True), ("e", 0, False),
        ("x", 0, False),
    ]  # fmt: skip


def test_it_is_extended_archived_and_cleaned_up(
    pages: Pages, api: Api, worker: Worker, core: Core
) -> None:
    _, sandbox = ended(api, worker)
    core.store.client.hset(f"knify:s:{sandbox}", "expires_at", clock.now_ms() + 1_000)

    for text in ("soon", "31d"):
        wrong = pages.post(f"/sandboxes/{sandbox}/extend", expires_in=text)
        assert (wrong.status_code, 'id="expires_in-problem"' in wrong.text) == (400, True)
        assert f'value="{text}"' in wrong.text
    assert pages.post(f"/sandboxes/{sandbox}/extend", expires_in="2d").status_code == 303
    assert "in 1 d" in pages.text(f"/sandboxes/{sandbox}")
    assert pages.post(f"/sandboxes/{sandbox}/archive").status_code == 303
    assert core.store.sandboxes.paused("n1") == [(sandbox, 0)]
    assert pages.post(f"/sandboxes/{sandbox}/cleanup").status_code == 303
    assert core.store.sandboxes.get(sandbox, tenant="default").state is SandboxState.DELETED
    page = pages.text(f"/sandboxes/{sandbox}")
    assert "<form" not in page.split("<main")[1].split("</main>")[0] and "#continue" not in page


def test_a_busy_one_goes_only_with_force_and_its_jobs(pages: Pages, api: Api, core: Core) -> None:
    sandbox = sandbox_of(api, api.submit())

    refused = pages.post(f"/sandboxes/{sandbox}/cleanup")
    assert (refused.status_code, "run or wait: cancel them" in refused.text) == (409, True)
    assert pages.post(f"/sandboxes/{sandbox}/extend").status_code == 409
    assert pages.post(f"/sandboxes/{sandbox}/archive").status_code == 409
    assert pages.post(f"/sandboxes/{sandbox}/cleanup", force="yes").status_code == 303
    assert core.store.sandboxes.get(sandbox, tenant="default").state is SandboxState.DELETED


def test_readers_look_and_strangers_find_nothing(
    reader: Pages, foreigner: Pages, api: Api, worker: Worker, core: Core
) -> None:
    _, sandbox = ended(api, worker)
    before = core.store.sandboxes.get(sandbox, tenant="default")
    changing = [f"/sandboxes/{sandbox}/{verb}" for verb in ("archive", "extend", "cleanup")]

    page = reader.text(f"/sandboxes/{sandbox}")
    assert 'action="/console/sandboxes' not in page and "#continue" not in page
    assert [reader.post(path).status_code for path in changing] == [403] * 3
    assert sandbox not in foreigner.text("/sandboxes")
    assert foreigner.get(f"/sandboxes/{sandbox}").status_code == 404
    assert [foreigner.post(path).status_code for path in changing] == [404] * 3
    assert core.store.sandboxes.get(sandbox, tenant="default") == before
