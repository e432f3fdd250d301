from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify import core as core_module
from knify import hints, settings
from knify.core import Core
from tests.api.parts import Worker
from tests.webhooks import receiver as receiver_module
from tests.webhooks.rig import Rig


@pytest.fixture
def core(redis_url: str, home: object) -> Iterator[Core]:
    """An installation that may send to this machine."""
    environ = {
        "KNIFY_HOME": str(home),
        "KNIFY_REDIS_URL": redis_url,
        "KNIFY_WEBHOOK_ALLOW_PRIVATE": "1",
    }
    made = core_module.connect(settings.load(environ), hints.RecordedHints())
    yield made
    made.store.client.close()


@pytest.fixture
def worker(core: Core) -> Worker:
    return Worker(core)


@pytest.fixture
def receiver() -> Iterator[receiver_module.Receiver]:
    with receiver_module.running() as running:
        yield running


@pytest.fixture
def rig(core: Core) -> Iterator[Rig]:
    """Webhooks, jobs, and deliverers that are stopped in the end."""
    made = Rig(core)
    yield made
    made.close()
