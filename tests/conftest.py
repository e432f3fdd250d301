"""Fixtures that all suites share."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify.store import open as store_open
from knify.store import redis as store_redis
from tests.parts.redis import redis_server, redis_url

__all__ = ["redis_server", "redis_url"]


@pytest.fixture
def store(redis_url: str) -> store_open.Store:
    """An empty store whose sandboxes live for an hour."""
    return store_open.build(store_redis.connect(redis_url), sandbox_ttl_ms=3_600_000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of its own."""
    return tmp_path / "home"
