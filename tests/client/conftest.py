from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import Client, retry
from tests.client import scripted


@pytest.fixture
def server() -> Iterator[scripted.Server]:
    with scripted.running() as server:
        yield server


@pytest.fixture
def client(server: scripted.Server) -> Iterator[Client]:
    with Client(server.url, "knify_test_a_b", policy=retry.Policy(base=0.01)) as client:
        yield client
