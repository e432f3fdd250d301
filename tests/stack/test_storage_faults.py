"""Jobs while their storage is slow, cuts uploads, is away or full: each ends whole afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from knify.client import Client
from knify.client.errors import Unavailable
from tests.parts import disk, s3
from tests.parts import proxy as proxy_part
from tests.parts import stack as stack_part
from tests.parts.proxy import Mode
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]

FILE = (
    "head -c 1000000 /dev/urandom > big; cp big twin; seq 3000; set -- $(sha256sum big); echo $1;"
    " sleep 1"
)
HELD = 8.0  # seconds that a fault lasts


def assert_whole(client: Client, job_id: str) -> None:
    """Completed, every line once, and the files are those that the job made."""
    assert client.wait(job_id, timeout=240).error is None
    *numbers, digest = parts.lines(client, job_id)
    assert numbers == [str(n) for n in range(1, 3001)]
    assert parts.stages(client, job_id).count("agent_started") == 1
    with tempfile.TemporaryDirectory() as folder:
        for name in ("big", "twin"):
            content = client.download(job_id, name, folder).file.read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """A real S3 server."""
    with s3.running(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.mark.timeout(900)
def test_jobs_outlive_an_s3_that_is_slow_cuts_uploads_and_is_away(server: s3.Server) -> None:
    port = urlsplit(server.endpoint_url).port
    assert port is not None
    with proxy_part.before(port) as bad:
        settings = server.environ() | {
            "KNIFY_OBJECT_STORE": f"s3://{server.bucket}/faults",
            "KNIFY_S3_ENDPOINT_URL": f"http://127.0.0.1:{bad.port}",
            "KNIFY_OUTPUT_TAIL_BYTES": "6144",  # most of the output becomes objects
            "KNIFY_PACK_SECONDS": "2",
        }
        with stack_part.running(**settings) as stack, stack.client() as client:
            jobs = []
            for mode in (Mode.SLOW, Mode.CUT, Mode.AWAY, Mode.CUT):
                jobs += [parts.submit(client, FILE) for _ in range(3)]
                next(iter(client.stream_output(jobs[-1], raw=True)))
                bad.set(mode)
                time.sleep(HELD)
                bad.set(Mode.FAIR)
            for job in jobs:
                assert_whole(client, job)
            assert bad.cuts > 0


@pytest.mark.timeout(600)
def test_jobs_outlive_a_full_disk_below_redis() -> None:
    """By `appendfsync always` Redis ends there, and starts again when there is room."""
    with contextlib.ExitStack() as undo:

        def prepare(home: Path) -> None:
            undo.enter_context(disk.of_its_own(home / "redis", "64m"))

        with stack_part.prepared(prepare) as stack, stack.client() as client:
            jobs = [parts.submit(client, FILE) for _ in range(3)]
            next(iter(client.stream_output(jobs[0], raw=True)))

            with disk.filled(stack.home / "redis"):
                stack_part.eventually(lambda: _is_refused(client, jobs), seconds=120)
                time.sleep(HELD)

            stack_part.eventually(lambda: not _is_refused(client, jobs), seconds=120)
            for job in jobs:
                assert_whole(client, job)


def _is_refused(client: Client, jobs: list[str]) -> bool:
    try:
        jobs.append(parts.submit(client, FILE))
    except Unavailable:
        return True
    return False
