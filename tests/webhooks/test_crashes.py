"""Whoever delivers may die at any line; nothing that happened to a job is lost."""

from __future__ import annotations

import signal

import pytest

from knify import deliver, failpoints
from knify.core import Core
from tests.webhooks import child
from tests.webhooks.receiver import Receiver
from tests.webhooks.rig import Rig

_NAMES = ("script.claim_deliveries", "send.webhook", "script.end_delivery")
POINTS = [f"{name}:{when}" for name in _NAMES for when in ("before", "after")]


def died(core: Core, point: str) -> int | None:
    """How a process that delivers ended."""
    return child.died(
        {
            "KNIFY_HOME": str(core.settings.home),
            "KNIFY_REDIS_URL": core.settings.redis,
            "KNIFY_WEBHOOK_ALLOW_PRIVATE": "1",
            "KNIFY_FAILPOINT": f"{point}:kill",
        }
    )


def test_these_are_all_points_of_the_way() -> None:
    known = {name for name in failpoints.names() if "deliver" in name or "send." in name}

    assert known - {"script.redeliver"} == set(_NAMES)


@pytest.mark.parametrize("point", POINTS)
def test_dying_anywhere_on_the_way_loses_nothing(
    rig: Rig, core: Core, receiver: Receiver, point: str
) -> None:
    hook = rig.hook(receiver.url)
    job = rig.finished()

    assert died(core, point) == -signal.SIGKILL

    rig.later(deliver.LEASE_MS + 1)
    rig.deliverer()
    rig.until(lambda: rig.lists(hook)["ended"] == 3)
    first = {one.id: one for one in reversed(receiver.got)}  # of several, the first
    assert [*dict.fromkeys(one.id for one in receiver.got)] == [
        f"evt_{job}_created", f"evt_{job}_started", f"evt_{job}_completed",
    ]  # fmt: skip
    assert all(one.raw == first[one.id].raw for one in receiver.got)
    assert len(receiver.got) <= 4  # at least once, and no more than the death explains
    assert rig.lists(hook)["waiting"] == rig.lists(hook)["leased"] == 0
