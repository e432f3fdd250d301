"""Fixtures that all suites share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.store import open as store_open
from knify.store import redis as store_redis
from tests.parts import redis as redis_part


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_part.Server]:
    """A real server for the whole run."""
    server = redis_part.start(tmp_path_factory.mktemp("r"))
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: redis_part.Server) -> str:
    """The server's address, emptied."""
    store_redis.connect(redis_server.url).flushall()
    return redis_server.url


@pytest.fixture
def store(redis_url: str) -> store_open.Store:
    """An empty store whose sandboxes live for an hour."""
    return store_open.build(store_redis.connect(redis_url), sandbox_ttl_ms=3_600_000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of its own."""
    return tmp_path / "home"
