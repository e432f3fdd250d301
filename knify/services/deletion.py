"""Executions that somebody wants to be gone: cancelled, if they have not ended, then forgotten.

The wish is one script call; from then on nobody sees the execution. The rest is done here and now
as far as it goes, and by the sweep, whoever dies.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import redis

from knify import errors
from knify.core import Core
from knify.services import history, jobs, retention
from knify.store import keys

log = logging.getLogger(__name__)

_MOST: Final = 200  # at a time
_REASON: Final = "the job is deleted"


def delete(
    core: Core, tenant: str, execution_id: str, *, aside: history.Aside = history.here
) -> None:
    """Delete record, history, output and artifacts; its sandbox too, if no other job is left in it.

    NotFound also when it was deleted before. The objects go later when their store is away.
    """
    core.store.executions.get(execution_id, tenant=tenant)
    core.store.retention.delete(execution_id)
    try:
        step(core, execution_id, aside)
    except errors.ObjectStoreError:
        pass  # it stays in its set: the sweep goes on


def step(core: Core, execution_id: str, aside: history.Aside = history.here) -> None:
    """As far as a deletion goes now; safe to repeat and to race. ObjectStoreError."""
    if retention.forget(core, execution_id, aside=aside):
        return
    jobs.cancel_any(core, execution_id, _REASON)
    if not retention.forget(core, execution_id, aside=aside):  # somebody works on it, and was told
        now = core.store.registry.now_ms()
        core.store.retention.later(keys.DELETING, execution_id, now)


def go_on(core: Core) -> int:
    """Whatever is to be deleted and is not gone yet, the longest unseen first; how much it was."""
    with retention.turn() as end:
        return 0 if end is None else _go_on(core, end)


def _go_on(core: Core, end: float) -> int:
    found = core.store.retention.first(keys.DELETING, _MOST)
    for n, execution_id in enumerate(found):
        if time.monotonic() > end:
            return n
        try:
            step(core, execution_id)
        except errors.ObjectStoreError as away:
            log.warning("deletions wait for the object store: %s", away)
            break
        except redis.RedisError:
            raise
        except Exception:  # one that cannot be handled must not keep the others
            log.exception("%s could not be deleted, it is tried again", execution_id)
            now = core.store.registry.now_ms()
            core.store.retention.later(keys.DELETING, execution_id, now)
    return len(found)
