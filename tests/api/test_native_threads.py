"""What runs in native threads beside gevent's loop does not break what belongs to the loop."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api import aside
from knify.core import Core
from knify.services import jobs
from tests.api import running
from tests.api.parts import COMMAND, Worker, archive
from tests.parts import s3 as s3_part
from tests.parts.stack import eventually


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[running.Running]:
    with running.server(tmp_path, redis_url) as made:
        yield made


@pytest.fixture(scope="module")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_part.Server]:
    with s3_part.running(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture
def on_s3(
    tmp_path: Path, redis_url: str, s3_service: s3_part.Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[running.Running]:
    for name, value in s3_service.environ().items():
        monkeypatch.setenv(name, value)
    where = {
        "KNIFY_TENANT_TRANSFERS": "12",
        "KNIFY_TRANSFERS": "12",
        "KNIFY_OBJECT_STORE": f"s3://{s3_service.bucket}/{tmp_path.name}",
        "KNIFY_S3_ENDPOINT_URL": s3_service.endpoint_url,
    }
    with running.server(tmp_path, redis_url, **where) as made:
        yield made


def submit(server: running.Running) -> str:
    answer = server.client.post("/jobs", json={"spec": COMMAND})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def test_redis_and_hints_refuse_whoever_is_aside(core: Core) -> None:
    with pytest.raises(RuntimeError, match="aside"):
        aside.run(core.store.registry.ping)
    with pytest.raises(RuntimeError, match="aside"):
        aside.heavy("t")(core.store.registry.now_ms)

    core.store.registry.ping()


def test_many_jobs_deleted_at_once_are_gone_and_later_ones_reach_the_workers(
    server: running.Running,
) -> None:
    made = [submit(server) for _ in range(24)]
    server.core.store.client.delete("knify")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda job: server.client.delete(f"/jobs/{job}"), made))

    assert {answer.status_code for answer in answers} == {204}, [a.text for a in answers]
    assert {server.client.get(f"/jobs/{job}").status_code for job in made} == {404}
    before = server.core.store.client.llen("knify")
    for _ in range(5):
        submit(server)
    eventually(lambda: server.core.store.client.llen("knify") >= before + 5)


def test_the_first_hint_of_a_server_may_come_from_a_deletion(server: running.Running) -> None:
    job = jobs.submit(server.core, "default", jobs.Submission(COMMAND)).answer.id
    Worker(server.core).run(job)  # so that its worker has to be told

    assert server.client.delete(f"/jobs/{job}").status_code == 204
    submit(server)

    eventually(lambda: server.core.store.client.llen("knify") > 0)


@pytest.mark.slow
def test_uploads_and_downloads_by_many_threads_from_one_s3(on_s3: running.Running) -> None:
    def there_and_back(n: int) -> tuple[int, bytes]:
        content = archive({"a.txt": b"hello %d" % n})
        files = {"workspace": (f"w{n}.tar.gz", content)}
        made = on_s3.client.post("/workspaces", files=files)
        assert made.status_code == 200, made.text
        path = f"/workspaces/{made.json()['workspace_id']}/download"
        answer = on_s3.client.get(path)
        assert answer.status_code == 200, answer.text
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            file = tar.extractfile("a.txt")
            assert file is not None
            return n, file.read()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(there_and_back, range(18)))

    assert found == [(n, b"hello %d" % n) for n in range(18)]


def test_artifacts_of_s3_one_by_one_and_as_one_archive(on_s3: running.Running) -> None:
    job = submit(on_s3)
    files = {f"f{n}.bin": bytes([n]) * (700_000 * n) for n in range(5)}
    worker = Worker(on_s3.core)
    worker.finish(worker.run(job))
    worker.keep(job, files)

    def get(path: str) -> bytes:
        answer = on_s3.client.get(f"/jobs/{job}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.content

    with ThreadPoolExecutor(6) as pool:
        singles = pool.map(lambda name: (name, get(f"artifacts/{name}")), list(files) * 3)
        archives = list(pool.map(get, ["artifacts.tar.gz"] * 6))

        assert dict(singles) == files
    for content in archives:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            assert {m.name: m.size for m in tar} == {n: len(c) for n, c in files.items()}
