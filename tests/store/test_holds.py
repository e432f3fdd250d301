"""Holds whose end Redis could not be told, since it was away at that moment."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from knify import holds, leases
from knify.store import keys, open
from tests.store.test_executions import claim
from tests.store.test_idle import archived, paused, turn_of


class Away:
    """The store's sandboxes, which cannot be reached when a hold is first ended."""

    def __init__(self, store: open.Store) -> None:
        self._sandboxes = store.sandboxes
        self._left = 1

    def __getattr__(self, name: str) -> Any:
        if name == "unhold" and self._left:
            self._left = 0
            return _lost
        return getattr(self._sandboxes, name)


def _lost(*_: Any, **__: Any) -> str:
    raise redis.ConnectionError("gone")


@pytest.fixture
def mine(store: open.Store) -> holds.Holds:
    return holds.Holds(Away(store), leases.Owner.this_process("n"))  # type: ignore[arg-type]


def test_what_was_removed_is_not_to_be_removed_once_redis_is_back(
    store: open.Store, mine: holds.Holds
) -> None:
    box = archived(store).sandbox_id or ""
    with pytest.raises(redis.ConnectionError):
        mine.during(box, "remove", lambda: None)
    assert store.sandboxes.removals("n") == [box]

    assert mine.during(box, "remove", lambda: None) == ""

    assert store.sandboxes.removals("n") == []
    assert store.client.keys(f"{keys.PREFIX}node:n:hold:*") == []


def test_a_turn_does_not_wait_for_the_time_of_a_hold_that_nobody_needs(
    store: open.Store, mine: holds.Holds
) -> None:
    x = paused(store)
    with pytest.raises(redis.ConnectionError):
        mine.during(x.sandbox_id or "", "stop", lambda: None)
    turn = turn_of(store, x)
    kept = claim(store, turn, node="n")
    assert kept.verdict == "kept"

    assert mine.end(x.sandbox_id or "", kept.other, False)

    assert claim(store, turn, node="n").verdict == "claimed"
