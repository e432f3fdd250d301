"""Redis is put back to an older file under a real installation."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import redis

from knify.client import ApiError
from knify.host import podman
from tests.parts import stack as stack_part
from tests.parts.rollback import Snapshot
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman]


@pytest.mark.slow
def test_after_redis_was_put_back_nothing_runs_twice_and_nothing_is_lost() -> None:
    with stack_part.running(KNIFY_LEASE_SECONDS="3", KNIFY_SWEEP_SECONDS="1") as stack:
        client = stack.client()
        running = parts.submit(client, parts.COUNTING.format(n=600))
        next(client.stream_output(running, raw=True))
        os.kill(stack.pid("worker"), signal.SIGSTOP)
        pending = parts.submit(client, "echo x >> starts; echo 1; echo 2; exit 7")
        stack.kill_all()
        shutil.copytree(stack.home / "redis", stack.home / "redis.old")

        stack.start()
        done = client.wait(pending, timeout=60)
        finished = parts.ran(client, "echo unknown > file")
        busy = client.job(parts.submit(client, "echo here; sleep 600"))
        next(client.stream_output(busy.id, raw=True))
        stack.kill_all()
        shutil.rmtree(stack.home / "redis")
        (stack.home / "redis.old").rename(stack.home / "redis")
        stack.start()

        again = client.wait(pending, timeout=60)
        assert (done.error, again.error) == ("exited with code 7", "exited with code 7")
        assert parts.lines(client, pending) == ["1", "2"]
        assert parts.content(client, pending, "starts") == "x\n"
        assert "store_rolled_back" in parts.stages(client, pending)
        for job in (finished, busy):
            with pytest.raises(ApiError) as missing:
                client.job(job.id)
            assert missing.value.status == 404

        strangers = {finished.sandbox_id, busy.sandbox_id}
        stack_part.eventually(
            lambda: {row["id"] for row in client.sandboxes(orphans=True)} == strangers
        )
        name = f"knify-{busy.sandbox_id}"
        look = ("inspect", "--format", "{{.State.Running}}", name)
        stack_part.eventually(lambda: podman.call(*look).out.strip() == "false")

        client.wait(running, timeout=120)
        parts.assert_counted(client, running, 600)
        assert "store_rolled_back" in parts.stages(client, running)
        client.close()


@pytest.mark.slow
def test_a_worker_that_lives_through_a_rollback_follows_its_job_anew() -> None:
    with (
        stack_part.running(KNIFY_LEASE_SECONDS="3", KNIFY_SWEEP_SECONDS="1") as stack,
        stack.client() as client,
    ):
        job_id = parts.submit(client, parts.COUNTING.format(n=150))
        live = client.stream_output(job_id, raw=True)
        for _ in range(20):
            next(live)
        before = Snapshot(f"unix://{stack.home}/run/redis.sock")
        for _ in range(60):
            next(live)
        live.close()
        worker = stack.pid("worker")

        before.put_back()

        store = redis.Redis.from_url(f"unix://{stack.home}/run/redis.sock", decode_responses=True)
        stack_part.eventually(lambda: store.get("knify:epoch") == "1")
        client.wait(job_id, timeout=90)
        parts.assert_counted(client, job_id, 150)
        assert stack.pid("worker") == worker
        assert "all jobs are claimed anew" in (stack.home / "logs" / "worker.log").read_text()


@pytest.mark.slow
def test_a_second_machine_of_the_same_name_is_refused_with_the_cure() -> None:
    with stack_part.running(KNIFY_NODE="twin") as stack:
        store = redis.Redis.from_url(f"unix://{stack.home}/run/redis.sock", decode_responses=True)
        # As if the living heartbeat were another machine's: ours finds its name taken and leaves.
        victim = stack.pid("worker")
        store.set("knify:node:twin:machine", "another")

        def refused() -> bool:
            text = (stack.home / "logs" / "worker.log").read_text()
            return "another machine works under the name twin" in text and "KNIFY_NODE" in text

        stack_part.eventually(refused)
        stack_part.eventually(lambda: stack.pid("worker") != victim)
