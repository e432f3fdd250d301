from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import Client, Policy
from tests.client import both, scripted


@pytest.fixture
def server() -> Iterator[scripted.Server]:
    with scripted.running() as server:
        yield server


@pytest.fixture(params=both.KINDS)
def connect(request: pytest.FixtureRequest) -> Iterator[both.Connect]:
    """Makes clients: blocking ones in one run of a test, asynchronous ones in the other."""
    with both.connecting(request.param) as connect:
        yield connect


@pytest.fixture
def client(server: scripted.Server, connect: both.Connect) -> Client:
    return connect(server.url, "knify_test_a_b", policy=Policy(base=0.01))
