"""A rig for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.rig import Rig


@pytest.fixture
def rig(redis_url: str, tmp_path: Path) -> Iterator[Rig]:
    """Redis, objects and a scripted node."""
    made = Rig(redis_url, tmp_path / "home")
    yield made
    made.close()
