"""Redis over TLS, for us and for Celery, with an authority of the operator's own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import celery
import pytest
import redis

from knify import hints
from knify.store import redis as store_redis
from tests.gateway import web
from tests.parts import sentinels

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and certificate of a server that speaks TLS only; the system's, where it can."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("needs a redis-server with TLS (Debian's package redis-server)")
    secret, certificate = web.certified(tmp_path, "localhost")
    (port,) = sentinels.free_ports(1)
    argv = [
        found, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1",
        "--dir", str(tmp_path), "--save", "",
        "--tls-cert-file", str(secret), "--tls-key-file", str(secret),
        "--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no",
    ]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        yield port, certificate
    finally:
        process.kill()
        process.wait()


def test_redis_and_celery_trust_the_operators_authority_and_nobody_else(
    server: tuple[int, Path],
) -> None:
    port, certificate = server
    place = f"rediss://localhost:{port}/0"
    url = f"{place}?ssl_ca_certs={certificate}"
    deadline = time.monotonic() + 20

    client = store_redis.connect(url)
    while True:
        try:
            assert client.ping()
            break
        except redis.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    app = celery.Celery("test")
    hints.configure(app, url)
    with app.connection() as connection:
        connection.ensure_connection(max_retries=1)
        app.send_task(hints.ADVANCE, ["job_1"], connection=connection)

    assert client.llen(hints.ANY_NODE) == 1
    with pytest.raises(redis.ConnectionError, match="certificate"):
        store_redis.connect(place).ping()
