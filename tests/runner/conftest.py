"""A rig for each test."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runner.rig import Rig


@functools.cache
def settled() -> None:
    """What all tests have need not be looked through at the end of each."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def rig(redis_url: str, tmp_path: Path) -> Iterator[Rig]:
    """Redis, objects and a scripted node."""
    settled()
    made = Rig(redis_url, tmp_path / "home")
    yield made
    made.close()
