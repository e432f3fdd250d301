"""What goes with time, and that nothing is left behind or goes too early."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import click.testing
import pytest

from knify import clock, errors, settings, sweep
from knify.cli import main
from knify.core import Core
from knify.services import gc, jobs, retention, workspaces
from knify.store import keys
from knify.store.webhooks import Result
from tests.api.parts import COMMAND, Api, Worker, archive
from tests.retention.dying import dying
from tests.retention.test_packing import age, make, pack_all

DAY = 86_400_000


def objects(core: Core, prefix: str = "") -> list[str]:
    return sorted(listed.key for listed in core.objects.list(prefix))


#: One key each, whatever was run.
COUNTERS = {"knify:forgotten", "knify:clock", "knify:served", "knify:node:n1:used", "knify:tally"}


def left(core: Core) -> set[str]:
    """What Redis still holds of executions."""
    return {key for key in core.store.client.scan_iter() if ":k" not in key} - COUNTERS


def delete_sandbox(core: Core, job_id: str) -> str:
    sandbox_id = core.store.executions.get(job_id, tenant="default").sandbox_id or ""
    assert core.store.sandboxes.retire(sandbox_id).verdict == "deleted"
    core.store.client.srem(keys.removals("n1"), sandbox_id)
    return sandbox_id


def test_artifacts_go_after_their_days_and_the_answers_say_so(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id, bare = make(api, worker), api.submit()
    worker.finish(worker.run(bare))
    pack_all(core)
    age(core, keys.PACKED_FILES, 29 * DAY)
    retention.tidy(core)
    assert api.get(f"/jobs/{job_id}/artifacts/a.txt").text == "a"

    age(core, keys.PACKED_FILES, 2 * DAY)
    retention.tidy(core)

    assert not [key for key in objects(core) if "/files/" in key or "artifacts" in key]
    for path in ("artifacts", "artifacts/a.txt", "artifacts.tar.gz"):
        answer = api.get(f"/jobs/{job_id}/{path}")
        assert (answer.status_code, answer.get_json()["code"]) == (410, "ARTIFACTS_EXPIRED")
    shown = api.get(f"/jobs/{job_id}").get_json()["artifacts"]
    assert shown["files"] == []
    assert "30 days" in shown["error"]
    assert api.get(f"/jobs/{job_id}/output?raw=1").get_json()["events"][0]["line"] == "line 0.0 é"
    assert api.get(f"/jobs/{bare}/artifacts").get_json() == {}
    assert core.store.client.zcard(keys.PACKED_FILES) == 0


def test_an_execution_goes_whole_once_its_sandbox_has_gone(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = make(api, worker, spill=700)
    kept = objects(core)
    pack_all(core)
    age(core, keys.PACKED_FILES, 100 * DAY)
    retention.tidy(core)
    age(core, keys.PACKED, 100 * DAY)
    retention.tidy(core)
    assert api.get(f"/jobs/{job_id}").status_code == 200  # its sandbox can be continued

    sandbox_id = delete_sandbox(core, job_id)
    age(core, keys.PACKED, 2 * DAY)
    retention.tidy(core)

    assert kept
    assert objects(core) == []
    assert api.get(f"/jobs/{job_id}").status_code == 404
    assert api.get("/jobs").get_json() == []
    assert core.store.sandboxes.find(sandbox_id) is None
    assert left(core) == set()


def test_a_sandboxs_record_goes_with_its_last_execution(
    api: Api, worker: Worker, core: Core
) -> None:
    first = make(api, worker)
    body = {"spec": COMMAND}
    second = api.post(f"/jobs/{first}/continue", body).get_json()["job_id"]
    jobs.cancel(core, "default", second, "no")
    sandbox_id = delete_sandbox(core, first)

    assert retention.forget(core, first)
    assert core.store.sandboxes.find(sandbox_id) is not None
    assert retention.forget(core, second)
    assert core.store.sandboxes.find(sandbox_id) is None
    assert retention.forget(core, second)


def test_forgetting_the_last_execution_removes_a_living_sandbox(
    api: Api, worker: Worker, core: Core
) -> None:
    job_id = make(api, worker)
    sandbox_id = core.store.executions.get(job_id, tenant="default").sandbox_id or ""
    running = api.submit()
    worker.run(running)

    assert not retention.forget(core, running)
    assert retention.forget(core, job_id)

    assert core.store.sandboxes.removals("n1") == [sandbox_id]
    assert core.store.client.ttl(keys.sandbox(sandbox_id)) > 0
    assert ("knify.remove", sandbox_id, "n1") in core.hints.sent  # type: ignore[attr-defined]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(4))
def test_dying_at_any_line_of_expiry_leaves_nothing_behind(
    api: Api, worker: Worker, core: Core, n: int, when: str
) -> None:
    job_id = make(api, worker, spill=700)
    pack_all(core)
    delete_sandbox(core, job_id)
    scripts = core.store.retention._scripts
    with dying(n, when, (scripts, "call"), (core.objects, "delete_prefix")):
        retention.forget(core, job_id, idle=True)
    age(core, keys.PACKED_FILES, 100 * DAY)
    retention.tidy(core)
    age(core, keys.PACKED, 100 * DAY)
    retention.tidy(core)

    assert objects(core) == []
    assert left(core) == set()


def test_one_that_makes_trouble_does_not_keep_the_others(
    api: Api, worker: Worker, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make(api, worker), make(api, worker)
    core.store.client.hset(keys.execution(bad), "request", "no JSON")

    age(core, keys.ENDED, DAY)
    retention.tidy(core)

    x = core.store.executions.find(good)
    assert x is not None
    assert x.packed
    assert core.store.client.zrange(keys.ENDED, 0, -1) == [bad]


def test_old_versions_of_a_workspace_go_unless_a_job_waits_for_one(
    api: Api, worker: Worker, core: Core
) -> None:
    few = replace(core.settings, workspace_versions=2)
    object.__setattr__(core, "settings", few)
    api.upload(archive({"a": b"0"}), name="w")
    waiting = api.submit(workspace_path="/workspaces/w@1")
    for n in (b"1", b"2", b"3"):
        api.upload(archive({"a": n}), name="w")
    retention.tidy(core)
    assert [w["version"] for w in api.get("/workspaces").get_json()] == [4, 3, 1]
    assert len(objects(core, "workspaces")) == 4  # the sweeper deletes that of the second
    sweep.sweep(core)
    assert len(objects(core, "workspaces")) == 3

    worker.run(waiting)  # it has its files now
    api.upload(archive({"a": b"4"}), name="w")
    sweep.sweep(core)

    assert [w["version"] for w in api.get("/workspaces").get_json()] == [5, 4]
    assert len(objects(core, "workspaces")) == 2


def test_a_job_that_never_began_frees_its_workspace(api: Api, core: Core) -> None:
    workspace = api.upload(archive({"a": b"a"}), name="w").get_json()["workspace_id"]
    job_id = api.submit(workspace_path="/workspaces/w")
    assert core.store.workspaces.drop(workspace).jobs == (job_id,)

    api.post(f"/jobs/{job_id}/cancel")

    assert core.store.workspaces.drop(workspace).jobs == ()
    with pytest.raises(errors.NotFound):
        workspaces.get(core, "default", workspace)


def _patterns() -> list[re.Pattern[str]]:
    """The names in the table of `keys.py`."""
    named = re.findall(r"^\| `(knify:[^`]+)`", keys.__doc__ or "", re.MULTILINE)
    plain = [re.escape(name).replace(r"\[", "(?:").replace(r"\]", ")?") for name in named]
    return [re.compile(re.sub(r"\\\{\w+\\\}", "[^:]+", name)) for name in plain]


def test_every_key_in_redis_is_of_a_kind_that_the_table_names(
    api: Api, worker: Worker, core: Core
) -> None:
    for name in ("waits", "tried"):
        api.post("/webhooks", {"url": "https://8.8.8.8/", "name": name})
    core.store.registry.installation(None)
    core.store.registry.heartbeat("n1", {}, clock.now_ms())
    api.upload(archive({"a": b"a"}), name="w")
    api.post("/jobs", {"spec": COMMAND}, headers={"Idempotency-Key": "k"})
    make(api, worker, spill=700, workspace_path="/workspaces/w")
    pack_all(core)
    retention.forget(core, make(api, worker, spill=700))
    api.post(f"/jobs/{make(api, worker, spill=700)}/continue", {"spec": COMMAND})
    api.submit(workspace_path="/workspaces/w")
    claimed = core.store.webhooks.claim(2, 2, lease_ms=10, token="t").claimed
    for done in (Result("{}", 1, 200), Result("{}", 1, error="e")):
        core.store.webhooks.end(claimed.pop(), "t", done, delay_ms=1, limit_ms=1000)

    found = set(core.store.client.scan_iter())

    unknown = {key for key in found if not any(p.fullmatch(key) for p in _patterns())}
    assert len(found) > 20
    assert unknown == set()


def _old(core: Core) -> None:
    """All objects were written two days ago."""
    root: Path = core.objects.root  # type: ignore[attr-defined]
    before = time.time() - 2 * 86_400
    for path in root.rglob("*"):
        os.utime(path, (before, before))


def test_gc_finds_what_no_record_names_and_nothing_else(
    api: Api, worker: Worker, core: Core
) -> None:
    make(api, worker)
    api.upload(archive({"a": b"a"}), name="w")
    mine = objects(core)
    strays = ["executions/job_gone/files/0", "executions/job_gone/record", "workspaces/ws_gone",
              "sandboxes/sandbox_gone/archive"]  # fmt: skip
    for key in [*strays, "unknown/thing"]:
        core.objects.put(key, [b"123"])
    _old(core)
    core.objects.put("executions/job_young/record", [b"1"])

    report = gc.look(core)

    assert report.doubt == ""
    assert {kind: (t.owned, t.orphans, t.objects, t.size) for kind, t in report.kinds.items()} == {
        "executions": (1, 1, 2, 6), "workspaces": (1, 1, 1, 3), "sandboxes": (0, 1, 1, 3),
    }  # fmt: skip
    assert gc.remove(core) == {"executions": 2, "workspaces": 1, "sandboxes": 1}
    assert objects(core) == sorted([*mine, "unknown/thing", "executions/job_young/record"])


def test_gc_is_in_doubt_while_a_rollback_of_redis_is_young(core: Core) -> None:
    assert gc.look(core).doubt == ""

    core.store.client.set(keys.ROLLED_AT, core.store.registry.now_ms())

    assert "put back" in gc.look(core).doubt


def test_the_command_gc_shows_refuses_and_removes(
    api: Api, core: Core, config: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(20):
        core.objects.put(f"executions/job_{n}/record", [b"123"])
    _old(core)
    monkeypatch.setenv("KNIFY_HOME", str(config.home))
    monkeypatch.setenv("KNIFY_REDIS_URL", str(config.redis_url))

    def run(*options: str) -> tuple[int, str]:
        found = click.testing.CliRunner().invoke(main.cli, ["gc", *options])
        return found.exit_code, found.output

    assert run("--force")[0] != 0  # no marker
    (config.home / "installation").write_text("inst_other\n")
    core.store.registry.installation("inst_mine")
    code, said = run("--force")
    assert code != 0
    assert "inst_mine" in said
    (config.home / "installation").write_text("inst_mine\n")

    code, said = run("--dry-run")
    assert code == 0, said
    assert "executions" in said
    code, said = run()
    assert code != 0
    assert "--force" in said
    assert len(objects(core)) == 20
    code, said = run("--force")
    assert (code, objects(core)) == (0, [])
    assert "removed 20 objects" in said
