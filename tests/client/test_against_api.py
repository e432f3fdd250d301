"""The SDK and the API speak the same language: real HTTP, a real Redis, a scripted worker."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import knify
from knify import core as core_module
from knify.client import ApiError, Client, Forbidden, NotFound, Policy, listing
from knify.client import errors as client_errors
from tests.api import parts
from tests.client import autopilot, both

COMMAND = {"job_type": "command_task", "command": "echo hello"}


@pytest.fixture
def core(redis_url: str, home: Path) -> Iterator[core_module.Core]:
    with autopilot.connected(redis_url, home) as core:
        yield core


@pytest.fixture
def real(core: core_module.Core, connect: both.Connect) -> Iterator[Client]:
    with autopilot.serving(core) as (url, key):
        yield connect(url, key, policy=Policy(base=0.02))


@pytest.fixture
def worker(core: core_module.Core) -> parts.Worker:
    return parts.Worker(core)


def test_a_job_is_submitted_watched_live_and_its_files_fetched(
    real: Client, worker: parts.Worker, tmp_path: Path
) -> None:
    job_id = real.create_job(COMMAND, name="n").job_id
    running = worker.run(job_id)
    running = worker.lines(running, "one", "tw\u2028o\x1b[31m")
    live = real.stream_output(job_id, raw=True)
    early = [frame.data["line"] for frame in itertools.islice(live, 2)]
    running = worker.lines(running, "three")
    worker.keep(job_id, {"a b/ü#?%.txt": b"text", "empty": b""})
    worker.finish(running)

    assert early == ["one", "tw\u2028o\x1b[31m"]
    assert [frame.data["line"] for frame in live] == ["three"]
    assert [frame.data["type"] for frame in real.stream_output(job_id)][-1] == "completed"
    assert [frame.data for frame in real.stream_events(job_id)] == [
        event.raw for event in real.events(job_id)
    ]
    assert [line.n for line in real.lines(job_id)] == [1, 2, 3]
    assert [line.raw for line in real.lines(job_id)] == real.output(job_id, raw=True)
    job = real.wait(job_id)
    assert (job.status, job.name, job.exit_code) == ("completed", "n", 0)
    assert [a.size for a in real.artifacts(job_id)] == [4, 0]
    assert real.artifact_contents(job_id) == {"a b/ü#?%.txt": "text", "empty": ""}
    got = real.download_all(job_id, tmp_path / "out")
    assert all(file.verified for file in got)
    assert (tmp_path / "out/a b/ü#?%.txt").read_bytes() == b"text"


def test_a_stream_goes_on_from_any_frame(real: Client, worker: parts.Worker) -> None:
    job_id = real.create_job(COMMAND).job_id
    worker.finish(worker.lines(worker.run(job_id), *"abcde", events=3))

    whole = list(real.stream_output(job_id))

    for n, frame in enumerate(whole[:-1], 1):
        assert list(real.stream_output(job_id, after=frame.id)) == whole[n:]


def test_a_job_without_a_line_has_an_empty_raw_stream(real: Client, worker: parts.Worker) -> None:
    job_id = real.create_job(COMMAND).job_id
    worker.finish(worker.run(job_id))

    assert list(real.stream_output(job_id, raw=True)) == []


def test_a_cancelled_job_ends_its_streams(real: Client) -> None:
    job_id = real.create_job(COMMAND).job_id

    assert real.cancel(job_id).status == "cancelled"

    [last] = real.stream_output(job_id)
    assert last.data["status"] == "cancelled"
    assert real.wait(job_id, timeout=5).status == "cancelled"
    assert real.cleanup(job_id)["success"]


def test_the_same_idempotency_key_is_the_same_job(real: Client) -> None:
    first, second = (real.create_job(COMMAND, idempotency_key="k") for _ in range(2))

    assert first.job_id == second.job_id
    assert (first.replayed, second.replayed) == (False, True)


def test_a_folder_becomes_a_workspace(real: Client, tmp_path: Path) -> None:
    folder = tmp_path / "my project"
    (folder / "only").mkdir(parents=True)
    (folder / "only" / "file").write_text("x")
    (folder / "only" / "link").symlink_to("file")

    made, again = (real.upload_workspace(folder) for _ in range(2))

    assert (made.path, made.version) == ("/workspaces/my-project", 1)
    assert again.sha256 == made.sha256
    assert real.create_job(COMMAND | {"workspace_path": made.pinned}).status == "pending"
    assert {row.name for row in real.list_workspaces()} == {"my-project"}


def test_lists_keys_and_continuing_work(
    real: Client, worker: parts.Worker, connect: both.Connect
) -> None:
    job_id = real.create_job(COMMAND | {"metadata": {"team": "a"}}).job_id
    worker.finish(worker.run(job_id))
    turn = real.continue_job(job_id, COMMAND)

    assert [job.id for job in real.jobs(limit=10)] == [turn.job_id, job_id]
    assert [job.id for job in real.jobs(status="completed")] == [job_id]
    assert real.job(turn.job_id).parent_job_id == job_id
    made = real.create_key("ci", ["read"])
    with pytest.raises(Forbidden) as caught:
        connect(real.access.url, made.key).create_job(COMMAND)
    assert (caught.value.status, caught.value.code) == (403, "FORBIDDEN")
    real.revoke_key(made.id)


def test_errors_say_which_field_is_wrong(real: Client) -> None:
    with pytest.raises(ApiError) as caught:
        real.create_job(COMMAND | {"timeout": "soon"})

    assert caught.value.status == 400
    assert caught.value.detail == {"field": "spec.timeout"}
    assert caught.value.request_id
    with pytest.raises(client_errors.WaitTimeout):
        real.wait(real.create_job(COMMAND).job_id, timeout=0.1)


def test_sandboxes_are_listed_and_shown(real: Client, worker: parts.Worker) -> None:
    job_id = real.create_job(COMMAND).job_id
    worker.finish(worker.run(job_id))

    (row,) = real.sandboxes()

    assert (row.id, row.state) == (real.job(job_id).sandbox_id, "paused")
    assert real.sandbox(row.id) == row
    assert real.sandboxes(limit=1) == [row]
    assert real.sandboxes(orphans=True) == []


def test_health_and_readiness_are_told_and_are_no_errors(real: Client) -> None:
    health, ready = real.health(), real.ready()

    assert (health.status, health.version) == ("ok", knify.__version__)
    assert not ready.ready
    assert ready.checks["redis"] == "ok"
    assert "no worker" in ready.checks["nodes"]


def test_waiting_is_told_of_the_end(real: Client, core: core_module.Core) -> None:
    job_id = real.create_job(COMMAND).job_id

    with autopilot.working(core):
        assert real.wait(job_id, timeout=60).status == "completed"


def test_a_pipeline_runs_in_one_sandbox_and_stops_at_the_first_failure(
    real: Client, core: core_module.Core
) -> None:
    stages = [
        {"name": name, "spec": {"job_type": "command_task", "command": name}}
        for name in ("make", "false", "never")
    ]

    with autopilot.working(core):
        result = real.pipeline(stages, idempotency_key="nightly")
        again = real.pipeline(stages, idempotency_key="nightly")

    assert [(s.name, s.status) for s in result.stages] == [
        ("make", "completed"),
        ("false", "failed"),
    ]
    assert result.status == "failed"
    assert result.stages[0].artifacts == {"hi.txt": "hi\n"}
    assert len({stage.job.sandbox_id for stage in result.stages}) == 1
    # Whoever begins again finds what was done.
    assert [s.job.id for s in again.stages] == [s.job.id for s in result.stages]


def test_all_jobs_come_once_over_many_pages(real: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PAGE", 3)
    made = [real.create_job(COMMAND | {"metadata": {"n": n % 2}}).job_id for n in range(11)]

    assert [job.id for job in real.iter_jobs()] == made[::-1]
    assert [job.id for job in real.iter_jobs(metadata={"n": "1"})] == made[1::2][::-1]


def test_workspaces_come_back_and_go(real: Client, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("x")
    made = real.upload_workspace(tmp_path / "in", "demo")
    assert made.workspace_id

    got = real.download_workspace(made.workspace_id, tmp_path / "demo.tar")
    real.delete_workspace(made.workspace_id)

    with tarfile.open(got.file) as tar:
        assert [name for name in tar.getnames() if name.endswith("file")]
    with pytest.raises(NotFound):
        real.workspace(made.workspace_id)


def test_a_deleted_job_is_gone_for_whoever_asks(real: Client, worker: parts.Worker) -> None:
    job_id = real.create_job(COMMAND).job_id
    worker.finish(worker.run(job_id))

    real.delete_job(job_id)

    with pytest.raises(NotFound):
        real.job(job_id)
    with pytest.raises(NotFound):
        list(real.stream_events(job_id))
    assert list(real.iter_jobs()) == []
