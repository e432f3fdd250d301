"""Uploads and downloads over real sockets: streamed, bounded, and out of everybody's way."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import running
from tests.parts.stack import eventually

MIB = 1024**2
HEAD = b'--B\r\nContent-Disposition: form-data; name="workspace"; filename="w.tar"\r\n\r\n'
TAIL = b"\r\n--B--\r\n"


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[running.Running]:
    limits = {"KNIFY_TRANSFERS": "3", "KNIFY_TENANT_TRANSFERS": "2"}
    with running.server(tmp_path, redis_url, **limits) as made:
        yield made


def tar_of(size: int) -> bytes:
    """Of one file that does not compress."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("random")
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return out.getvalue()


def upload(server: running.Running, content: bytes, **form: str) -> dict[str, object]:
    files = {"workspace": ("w.tar", content)}
    answer = server.client.post("/workspaces", files=files, data=form)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


@contextlib.contextmanager
def half_an_upload(server: running.Running, sent: bytes, size: int) -> Iterator[socket.socket]:
    """A client that has sent no more than this of its form."""
    host, port = server.client.base_url.host, server.client.base_url.port
    with socket.create_connection((host, port or 80), timeout=60) as client:
        head = (
            "POST /workspaces HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {server.client.headers['Authorization']}\r\n"
            "Content-Type: multipart/form-data; boundary=B\r\n"
            f"Content-Length: {size}\r\n\r\n"
        )
        client.sendall(head.encode() + HEAD + sent)
        yield client


def pss(pid: int) -> float:
    """MB of memory."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def serving_pid(server: running.Running) -> int:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return int(children.read_text().split()[0])


def open_files(pid: int) -> list[str]:
    """What it holds open in its folder for temporary files."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in this moment
            links.append(str(link.readlink()))
    return [link for link in links if "/tmp/#" in link]


def test_a_large_upload_and_its_download_take_little_memory_and_stop_nobody(
    server: running.Running,
) -> None:
    content = tar_of(64 * MIB)
    upload(server, tar_of(MIB), name="warm")
    before, over = pss(serving_pid(server)), threading.Event()
    most, answered = [before], [0]

    def others() -> None:
        while not over.is_set():
            most.append(pss(serving_pid(server)))
            assert server.client.get("/workspaces").status_code == 200
            answered[0] += 1

    other = threading.Thread(target=others)
    other.start()
    made = upload(server, content, name="large")
    with server.client.stream("GET", f"/workspaces/{made['workspace_id']}/download") as answer:
        digest = hashlib.sha256()
        for piece in answer.iter_bytes():
            digest.update(piece)
    over.set()
    other.join()

    assert digest.hexdigest() == made["sha256"]
    assert answer.headers["Content-Length"] == str(answer.num_bytes_downloaded)
    assert answered[0] > 3
    assert max(most) - before < 30, "it holds the upload in memory"


def test_each_tenant_has_so_many_transfers_and_gets_them_back(server: running.Running) -> None:
    content = tar_of(100)
    with contextlib.ExitStack() as clients:
        for _ in range(2):
            clients.enter_context(half_an_upload(server, content[:50], 10_000))
        eventually(lambda: len(open_files(serving_pid(server))) == 2)

        answer = server.client.post("/workspaces", files={"workspace": ("w.tar", content)})

        assert (answer.status_code, answer.json()["code"]) == (429, "TRANSFERS_BUSY")
        assert int(answer.headers["Retry-After"]) > 0

    def again() -> bool:
        files = {"workspace": ("w.tar", content)}
        return server.client.post("/workspaces", files=files).status_code == 200

    eventually(again)


def test_a_killed_server_leaves_nothing_of_an_upload(
    server: running.Running, tmp_path: Path
) -> None:
    content = tar_of(20 * MIB)
    with half_an_upload(server, content, len(HEAD) + len(content) + 1_000) as client:
        eventually(lambda: open_files(serving_pid(server)))
        os.kill(serving_pid(server), 9)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""

    assert [path for path in (tmp_path / "tmp").iterdir() if path.name != "api.log"] == []
    assert list((tmp_path / "objects").rglob("*.*")) == []


def test_a_client_that_leaves_a_download_gives_its_place_back(server: running.Running) -> None:
    made = upload(server, tar_of(20 * MIB))
    path = f"/workspaces/{made['workspace_id']}/download"

    for _ in range(5):  # two would be all that there are
        with server.client.stream("GET", path) as answer:
            assert answer.status_code == 200
            next(answer.iter_raw(1024))
        eventually(lambda: server.client.get(path, headers={"Range": "bytes=5-9"}).is_success)


def test_a_range_from_the_middle_and_a_damaged_object(server: running.Running) -> None:
    content = tar_of(3 * MIB)
    made = upload(server, content)
    path = f"/workspaces/{made['workspace_id']}/download"

    part = server.client.get(path, headers={"Range": "bytes=2000000-2000009"})

    assert (part.status_code, part.content) == (
        206,
        server.client.get(path).content[2_000_000:][:10],
    )
    (row,) = server.core.objects.list("workspaces")
    server.core.objects.put(row.key, [b"not sealed at all"])
    assert server.client.get(path).status_code == 503
    server.core.objects.delete(row.key)
    assert server.client.get(path).status_code == 404


@pytest.mark.slow
def test_who_trickles_is_told_to_go(server: running.Running) -> None:
    with half_an_upload(server, b"x" * 100, 10 * MIB) as client:
        answer = b""
        while b"TOO_SLOW" not in answer:
            more = client.recv(4096)
            assert more, answer
            answer += more

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert upload(server, tar_of(100), name="x")["version"] == 1


@pytest.mark.slow
def test_who_takes_nothing_of_a_download_is_cut_off(server: running.Running) -> None:
    made = upload(server, tar_of(30 * MIB))
    host, port = server.client.base_url.host, server.client.base_url.port

    def pipes() -> int:
        links = Path(f"/proc/{serving_pid(server)}/fd").iterdir()
        return sum(str(link.readlink()).startswith("pipe:") for link in links if link.is_symlink())

    before = pipes()
    with socket.create_connection((host, port or 80), timeout=60) as client:
        head = (
            f"GET /workspaces/{made['workspace_id']}/download HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {server.client.headers['Authorization']}\r\n\r\n"
        )
        client.sendall(head.encode())
        eventually(lambda: pipes() > before)

        eventually(lambda: pipes() == before, seconds=100)
