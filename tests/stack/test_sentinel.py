"""Redis behind Sentinels: its primary dies under jobs, and nothing that was accepted is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from knify import core as core_module
from knify import errors, hints, install, settings
from knify.lifecycle import TERMINAL
from knify.services import jobs
from tests.chaos import scripted_host, scripted_parts, scripted_rig
from tests.parts import sentinels
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.slow, pytest.mark.stack]
JOBS = 200
SECONDS = 300.0


@contextmanager
def processes(env: dict[str, str], log: Path) -> Iterator[None]:
    """Two workers on the scripted host, and beat."""
    modules = [["tests.chaos.scripted_parts", "worker"]] * 2 + [["workers.main", "beat"]]
    with log.open("ab") as file:
        running = [
            subprocess.Popen([sys.executable, "-m", *words], env=env, stdout=file, stderr=file)
            for words in modules
        ]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def submitted(core: core_module.Core, number: int) -> str:
    """Until it is on a replica too: with one Idempotency-Key, as a client does it."""
    key, deadline = f"key-{number}", time.monotonic() + SECONDS
    request = {"job_type": "command_task", "command": ["run", f"k{number}", "plain", "3"]}
    one = jobs.Submission(request, idempotency_key=key, digest=key)
    while True:
        try:
            return jobs.submit(core, "default", one).answer.id
        except (redis.RedisError, errors.StoreUnavailable):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.timeout(900)
def test_two_hundred_jobs_outlive_the_death_of_the_primary(tmp_path: Path) -> None:
    host = tmp_path / "host"
    scripted_host.make(host)
    with sentinels.running(tmp_path) as watched:
        env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")}
        env |= scripted_rig.SETTINGS | {
            "KNIFY_HOME": str(tmp_path / "h"),
            "KNIFY_REDIS_URL": watched.url,
            "KNIFY_REDIS_REPLICAS": "1",
            "KNIFY_SANDBOX_DAYS": "1",
            "KNIFY_ARTIFACT_DAYS": "1",
            scripted_parts.HOST: str(host),
        }
        config = settings.load(env)
        install.install(config)
        core = core_module.connect(config, hints.CeleryHints(config.redis))
        with processes(env, tmp_path / "log"):
            made = [submitted(core, number) for number in range(JOBS // 2)]
            old, died = watched.kill_primary(), time.monotonic()
            made.append(submitted(core, JOBS))
            print(f"the first job is accepted {time.monotonic() - died:.1f} s after that")
            made += [submitted(core, number) for number in range(JOBS // 2 + 1, JOBS)]
            assert watched.primary() != old

            def ended() -> bool:
                try:
                    found = core.store.executions.get_many(made)
                except redis.RedisError:
                    return False
                return len(found) == JOBS and all(x.state in TERMINAL for x in found)

            stack_part.eventually(ended, seconds=SECONDS)

        found = core.store.executions.get_many(made)
        assert len(set(made)) == JOBS
        assert {str(x.state) for x in found} == {"completed"}
        ran = {path.name for path in (host / "ran").iterdir()}
        assert ran == set(made)  # each once: a second start would leave `ID.again`


@pytest.mark.podman
@pytest.mark.timeout(900)
def test_a_running_job_outlives_the_death_of_the_primary(tmp_path: Path) -> None:
    with (
        sentinels.running(tmp_path) as watched,
        stack_part.running(KNIFY_REDIS_URL=watched.url, KNIFY_REDIS_REPLICAS="1") as stack,
        stack.client() as client,
    ):
        running = parts.submit(client, parts.COUNTING.format(n=200))
        stack_part.eventually(lambda: "line 5" in parts.lines(client, running))

        watched.wait_for_another(watched.kill_primary())

        later = parts.ran(client, "echo later")
        assert later.status == "completed"
        client.wait(running, timeout=120)
        parts.assert_counted(client, running, 200)


def test_what_no_replica_has_is_not_called_accepted(tmp_path: Path) -> None:
    with sentinels.running(tmp_path, replicas=1) as watched:
        config = settings.load({
            "KNIFY_HOME": str(tmp_path / "h"), "KNIFY_REDIS_URL": watched.url,
            "KNIFY_REDIS_REPLICAS": "1", "KNIFY_BASE_IMAGE": "fake",
        })  # fmt: skip
        core = core_module.connect(config, hints.RecordedHints())
        request = {"job_type": "command_task", "command": "true"}
        one = jobs.Submission(request, idempotency_key="k", digest="d")
        (replica,) = set(watched.servers) - {watched.primary()}
        frozen = watched.servers[replica]
        frozen.send_signal(19)  # SIGSTOP: it answers nobody and keeps its connection

        for _ in range(2):  # the first answer of this key is no confirmation either
            with pytest.raises(errors.NotReplicated):
                jobs.submit(core, "default", one)
        frozen.send_signal(18)
        accepted = jobs.submit(core, "default", one)

        assert accepted.replayed
        copy = redis.Redis(port=replica, decode_responses=True)
        assert copy.hget(f"knify:x:{accepted.answer.id}", "tenant") == "default"
