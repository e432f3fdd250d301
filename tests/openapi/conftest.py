from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.conftest import api, app, config, core, worker
from tests.openapi import live as live_module

__all__ = ["api", "app", "config", "core", "worker"]


@pytest.fixture(scope="module")
def live() -> Iterator[live_module.Live]:
    """The real server; one for a file's tests."""
    with live_module.serve() as found:
        yield found
