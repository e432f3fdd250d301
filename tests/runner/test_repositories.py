"""Repositories: cloned before the job and diffed behind it, whoever dies when."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from knify import model, turn
from knify.gateway import netns
from knify.lifecycle import SandboxState, State
from knify.sandbox import fakehost
from knify.services import artifacts, jobs
from knify.staging import clone, patch
from tests import factories
from tests.parts import gateway as gateways
from tests.runner.rig import ERR, OUT, Rig, Worker, die, eventually

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = model.Repository("https://git.test/team/app.git", "main", subpath="services/api")
DIFF = b"diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+two\n"


class InTurns(dict[tuple[str, ...], Any]):
    """Scripts of a host, of which a list is gone through, one a run."""

    def get(self, argv: tuple[str, ...], default: Any = None) -> Any:
        found = super().get(argv, default)
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


@pytest.fixture
def gateway(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[gateways.Gateway]:
    monkeypatch.setattr(netns, "started", lambda pid: 1)
    monkeypatch.setattr(clone, "_PAUSES", (0.0, 0.0))
    rig.host.scripts = InTurns(rig.host.scripts)
    cloned = [(0.0, OUT, f"commit {COMMIT}\n".encode())]
    rig.host.script(clone.SCRIPT, fakehost.Script(steps=cloned, files={"a": b"one"}))
    rig.host.script(patch.SCRIPT, fakehost.Script(steps=[(0.0, OUT, DIFF)]))
    rig.script("job", files={"a": b"two", "report.md": b"all is well"})
    with gateways.running(rig.core.settings.gateway) as running:
        yield running


def submit(rig: Rig, *argv: str, **fields: Any) -> str:
    """A task of which the repository is cloned first."""
    task_id = fields.pop("task_id", "fix-1")
    wanted = {"command": argv, "image": "fake", "repository": REPOSITORY} | fields
    sandbox = factories.sandbox(image="fake", repository=wanted["repository"])
    x = factories.execution(spec=factories.spec(**wanted), sandbox_id=sandbox.id, task_id=task_id)
    rig.core.store.executions.submit(x, sandbox)
    return x.id


def failing(*words: str, code: int = 1) -> fakehost.Script:
    return fakehost.Script([(0.0, ERR, word.encode()) for word in words], exit_code=code)


def cloned(rig: Rig) -> int:
    return sum("clone" in name for box in rig.host.containers.values() for name in box.started)


def files(rig: Rig, job: str) -> dict[str, bytes]:
    found = {}
    for one in artifacts.listing(rig.core, job):
        with rig.core.objects.open(one.key) as reader:
            found[one.path] = reader.read()
    return found


def test_a_task_begins_with_its_repository_and_leaves_a_patch(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    job = submit(rig, "job")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.state is State.COMPLETED, rig.stages(job)
    assert x.start_commit == COMMIT
    left = files(rig, job)
    assert left["fix-1.patch"] == DIFF
    assert left["a"] == b"two" and left["report.md"] == b"all is well"
    about = json.loads(left["metadata.json"])
    assert about["task_id"] == "fix-1" and about["repository"]["start_commit"] == COMMIT
    assert about["patch"]["size_bytes"] == len(DIFF) and about["succeeded"] is True


def test_its_host_is_allowed_for_the_clone_alone(rig: Rig, gateway: gateways.Gateway) -> None:
    job = submit(rig, "job")
    started: list[int] = []
    gateway.on = lambda verb: started.append(rig.starts(job))

    Worker(rig).advance(job)

    rig.ended(job)
    assert gateway.verbs[:2] == ["open", "close"] and started[:2] == [0, 0]
    (policy,) = gateway.policies()
    assert policy["network_mode"] == "outbound" and policy["is_ours"] is True
    assert policy["allowed_hosts"] == ["git.test:443"] and policy["providers"] == []


def test_a_job_with_a_network_gets_its_own_behind_the_clone(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    job = submit(rig, "job", network_mode="outbound", allowed_hosts=("api.test",))

    Worker(rig).advance(job)

    rig.ended(job)
    assert gateway.verbs[:3] == ["open", "close", "open"]
    assert gateway.policies()[1]["allowed_hosts"] == ["api.test"]
    assert gateway.policies()[1]["is_ours"] is False


def test_nothing_is_started_while_the_way_to_the_repository_may_be_open(
    rig: Rig, gateway: gateways.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    from knify.gateway import client

    job = submit(rig, "job")
    monkeypatch.setattr(client, "OPEN_SECONDS", 0.0)

    def fail_to_close(verb: str) -> None:
        if verb == "close":
            raise OSError("the gateway dies over it")

    gateway.on = fail_to_close
    Worker(rig).advance(job)

    assert rig.job(job).state is State.PROVISIONING
    assert rig.starts(job) == 0


def test_a_clone_that_fails_is_tried_again(rig: Rig, gateway: gateways.Gateway) -> None:
    good = rig.host.scripts[clone.SCRIPT]
    rig.host.scripts[clone.SCRIPT] = [failing("fatal: early EOF\n"), good]  # type: ignore[assignment]
    job = submit(rig, "job")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert rig.stages(job).count("repository_retried") == 1


@pytest.mark.parametrize(
    ("said", "code", "times"),
    [
        ("fatal: the remote end hung up unexpectedly\n", 128, clone.TRIES),
        ("fatal: unable to access 'x': The requested URL returned error: 502\n", 128, clone.TRIES),
        ("fatal: repository 'https://git.test/team/app.git/' not found\n", 128, 1),
        ("fatal: unable to access 'x': The requested URL returned error: 302\n", 128, 1),
        ("fatal: Authentication failed for 'x'\n", 128, 1),
        ("warning: no such branch\nfatal: Remote branch x not found in upstream\n", 128, 1),
        ("it has no folder services/api\n", 3, 1),
    ],
)  # fmt: skip
def test_what_cannot_be_cloned_fails_in_gits_words(
    rig: Rig, gateway: gateways.Gateway, said: str, code: int, times: int
) -> None:
    rig.host.script(clone.SCRIPT, failing(said, code=code))
    job = submit(rig, "job")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.state is State.FAILED and rig.starts(job) == 0
    assert x.error is not None and said.splitlines()[-1] in x.error
    assert cloned(rig) == times


def test_what_never_had_its_files_is_not_preserved(rig: Rig, gateway: gateways.Gateway) -> None:
    rig.host.script(clone.SCRIPT, failing("it has no such commit\n", code=3))
    job = submit(rig, "job", failure_action="preserve")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.FAILED


def test_what_git_prints_cannot_flood_anything(rig: Rig, gateway: gateways.Gateway) -> None:
    flood = fakehost.Script([(0.0, ERR, b"x" * 100_000)] * 20, exit_code=1)
    rig.host.script(clone.SCRIPT, flood)
    job = submit(rig, "job")

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.state is State.FAILED and "far too much" in (x.error or "")


def test_a_clone_can_be_cancelled(rig: Rig, gateway: gateways.Gateway) -> None:
    rig.host.script(clone.SCRIPT, fakehost.Script(hangs=True))
    job, worker = submit(rig, "job"), Worker(rig)
    thread = threading.Thread(target=worker.advance, args=(job,))
    thread.start()
    eventually(lambda: cloned(rig))

    jobs.cancel(rig.core, "default", job, "no longer wanted")

    x = rig.ended(job)
    thread.join(10)
    assert x.state is State.CANCELLED and x.error == "no longer wanted"
    assert rig.starts(job) == 0
    assert not any(box.running for box in rig.host.containers.values())


def test_a_clone_has_the_time_of_provisioning(rig: Rig, gateway: gateways.Gateway) -> None:
    rig.host.script(clone.SCRIPT, fakehost.Script(hangs=True))
    job = submit(rig, "job", provision_timeout=1.0)

    Worker(rig).advance(job)

    x = rig.ended(job)
    assert x.state is State.FAILED and x.error == "the repository was not cloned within 1 s"


def test_a_repository_may_not_take_more_than_its_disk(
    rig: Rig, gateway: gateways.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "_MEASURED", 0.0)
    big = fakehost.Script(files={"big": b"x" * 2 * 1024**2}, hangs=True)
    rig.host.script(clone.SCRIPT, big)
    job = submit(rig, "job", resources=model.Resources(disk=1024**2))

    Worker(rig).advance(job)

    assert "more than its disk limit of 1.0 MiB" in (rig.ended(job).error or "")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(10, 52, 7))
def test_a_task_begins_and_ends_whole_whoever_dies_over_it(
    rig: Rig, gateway: gateways.Gateway, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, victim = submit(rig, "job"), Worker(rig)
    with monkeypatch.context() as dying:
        die(rig, victim, n, when, dying)
        victim.advance(job)
        eventually(lambda: victim.died.is_set() or rig.job(job).completed_at)
    victim.vanish()

    worker = Worker(rig)
    if rig.job(job).completed_at is None:
        worker.advance(job)

    x = rig.ended(job)
    assert x.state is State.COMPLETED, rig.stages(job)
    assert x.start_commit == COMMIT and rig.starts(job) == 1
    assert files(rig, job)["fix-1.patch"] == DIFF
    assert gateway.verbs[-1] == "close"


def test_without_a_patch_the_task_ends_all_the_same(rig: Rig, gateway: gateways.Gateway) -> None:
    rig.host.script(patch.SCRIPT, failing("x\nthe commit that it began with is gone\n", code=3))
    job = submit(rig, "job")

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    left = files(rig, job)
    assert "fix-1.patch" not in left
    assert json.loads(left["metadata.json"])["patch"] == {
        "error": "the commit that it began with is gone"
    }
    assert "artifact_skipped" in rig.stages(job)


def test_a_patch_without_end_is_given_up(rig: Rig, gateway: gateways.Gateway) -> None:
    endless = fakehost.Script([(0.0, OUT, b"+" * 32_000)] * 100, hangs=True)
    rig.host.script(patch.SCRIPT, endless)
    job = submit(rig, "job", resources=model.Resources(disk=1024**2))

    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert "larger than 1.0 MiB" in json.loads(files(rig, job)["metadata.json"])["patch"]["error"]
    assert not any(box.running for box in rig.host.containers.values())


def test_a_failed_and_a_cancelled_task_leave_their_patches_too(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    rig.script("fails", exit_code=1)
    rig.script("waits", hangs=True)
    worker, failed = Worker(rig), submit(rig, "fails")
    stopped = submit(rig, "waits", task_id="fix-2")
    worker.advance(failed)
    worker.advance(stopped)
    jobs.cancel(rig.core, "default", stopped, "enough")
    worker.watcher.cancel(stopped)

    assert rig.ended(failed).state is State.FAILED
    assert rig.ended(stopped).state is State.CANCELLED
    for one, name in ((failed, "fix-1"), (stopped, "fix-2")):
        assert files(rig, one)[f"{name}.patch"] == DIFF


def test_a_cancellation_cuts_short_what_would_take_long(
    rig: Rig, gateway: gateways.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "CUT_SECONDS", 0.0)
    rig.host.script(patch.SCRIPT, fakehost.Script(hangs=True))
    job, worker = submit(rig, "job"), Worker(rig)
    worker.advance(job)
    eventually(lambda: rig.job(job).state is State.COMPLETING)

    jobs.cancel(rig.core, "default", job, "enough")
    worker.leases.renew()

    x = rig.ended(job)
    assert (x.state, x.error) == (State.CANCELLED, "enough")
    assert (
        "cancelled while it was made"
        in json.loads(files(rig, job)["metadata.json"])["patch"]["error"]
    )


def test_a_patch_is_made_though_the_sandbox_died_under_the_job(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    rig.script("waits", hangs=True)
    job = submit(rig, "waits")
    Worker(rig).advance(job)
    (box,) = rig.host.containers.values()

    rig.loop.loop.call_soon_threadsafe(box.halt)

    assert rig.ended(job).state is State.FAILED
    assert files(rig, job)["fix-1.patch"] == DIFF


def test_a_file_of_the_workspace_cannot_pass_for_what_we_made(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    rig.script("job", files={"metadata.json": b"{}", "fix-1.patch": b"forged"})
    job = submit(rig, "job")

    Worker(rig).advance(job)

    rig.ended(job)
    left = files(rig, job)
    assert left["fix-1.patch"] == DIFF and json.loads(left["metadata.json"])["task_id"] == "fix-1"
    assert rig.stages(job).count("artifact_skipped") == 2


def test_the_next_turn_finds_the_repository_and_diffs_against_the_same_commit(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    first, worker = submit(rig, "job"), Worker(rig)
    worker.advance(first)
    rig.ended(first)
    request = {"job_type": "command_task", "command": ["job"]}

    second = jobs.continue_(rig.core, "default", first, jobs.Submission(request)).execution.id  # type: ignore[union-attr]
    worker.advance(second)

    x = rig.ended(second)
    assert x.start_commit == COMMIT and x.spec.repository == REPOSITORY
    assert cloned(rig) == 1
    assert files(rig, second)[f"{second}.patch"] == DIFF
    sandbox = rig.core.store.sandboxes.find(x.sandbox_id or "")
    assert sandbox is not None and sandbox.state is SandboxState.PAUSED
    assert (sandbox.repository, sandbox.start_commit) == (REPOSITORY, COMMIT)


def test_logins_of_the_operators_are_used_by_way_of_the_gateway(
    rig: Rig, gateway: gateways.Gateway
) -> None:
    gateway.git = ["git.test"]
    job = submit(rig, "job")
    worker = Worker(rig)

    worker.advance(job)

    rig.ended(job)
    (box,) = rig.host.containers.values()
    env = box.turns[0].env
    assert env["GIT_CONFIG_VALUE_0"] == "https://git.test/"
    assert env["REPO_PROTOCOLS"] == "https:http"
    assert "GIT_CONFIG_COUNT" not in next(t for t in box.turns if "REPO_URL" not in t.env).env
