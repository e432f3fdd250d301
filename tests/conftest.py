"""Fixtures that all suites share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from knify.store import open as store_open
from knify.store import redis as store_redis
from tests.parts.redis import redis_server, redis_url
from tests.parts.traces import spans

__all__ = ["redis_server", "redis_url", "spans"]

#: What takes longest comes first, so that in the end no process is left alone with it.
_FIRST = ("chaos/test_slice.py", "stack/", "openapi/", "sandbox/", "snippets/", "host/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; the tests of each stay as they are. Of `sampled` ones most are slow."""
    seen: Counter[str] = Counter()
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            name = item.nodeid.partition("[")[0]
            if seen[name] % sampled.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1
    folder = Path(__file__).parent
    names = {item.path: item.path.relative_to(folder).as_posix() for item in items}
    items.sort(
        key=lambda item: next(
            (n for n, first in enumerate(_FIRST) if names[item.path].startswith(first)),
            len(_FIRST),
        )
    )


@pytest.fixture
def store(redis_url: str) -> store_open.Store:
    """An empty store whose sandboxes live for an hour."""
    return store_open.build(store_redis.connect(redis_url), sandbox_ttl_ms=3_600_000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of its own."""
    return tmp_path / "home"
