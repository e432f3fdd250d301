"""What goes with time: executions become rows, artifacts go, then everything of an execution.

Each step is driven by a set ordered by time, in bounded batches, and may die at each line: what a
step began stays in its set until it is done.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import redis

from knify import errors
from knify.core import Core
from knify.services import artifacts, history, packing
from knify.store import keys

log = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000
_MOST = 200  # of one kind at a time
_SECONDS = 3.0  # that one sweep may spend on it
_LATE_MS = 1_800_000  # for which somebody may still be storing parts of what was forgotten
_TROUBLE_MS = 3_600_000  # until something that cannot be handled is tried again
_alone = threading.Lock()


def tidy(core: Core, now: int | None = None, *, expire: bool = True) -> int:
    """Do what is due; how much it was. While the object store is away, nothing is lost.

    `now`: Redis's time in ms. Without `expire` nothing new is let go.
    """
    with turn() as end:
        if end is None:
            return 0
        try:
            now = core.store.registry.now_ms() if now is None else now
            return sum(_kinds(core, now, end, expire))
        except errors.ObjectStoreError as away:
            log.warning("retention waits for the object store: %s", away)
            return 0


@contextlib.contextmanager
def turn() -> Iterator[float | None]:
    """Until when (monotonic clock) a sweep may go on with it; None while another one does.

    Else sweeps that wait for a slow object store would take all threads, one after the other.
    """
    if not _alone.acquire(blocking=False):
        yield None
        return
    try:
        yield time.monotonic() + _SECONDS
    finally:
        _alone.release()


def _kinds(core: Core, now: int, end: float, expire: bool) -> list[int]:
    limits = core.settings
    done = [
        _each(core, keys.ENDED, now - int(limits.pack_seconds * 1000), packing.pack, end),
        _each(core, keys.EXPIRING, now, finish, end),
        _each(core, keys.FORGOTTEN, now - _LATE_MS, _once_more, end),
    ]
    if expire:
        files_before = now - int(limits.artifact_days * _DAY_MS)
        done.append(_each(core, keys.PACKED_FILES, files_before, _files, end))
        for key in (keys.PACKED, keys.PACKED_FILES):
            done.append(_each(core, key, now - int(limits.job_days * _DAY_MS), _expired, end))
    return done


def _each(
    core: Core, key: str, before: int, step: Callable[[Core, str], object], end: float
) -> int:
    """As much as is due, while there is time; what a step leaves where it was is looked at once."""
    done = set[str]()
    while due := [i for i in core.store.retention.come(key, before, _MOST) if i not in done]:
        for execution_id in due:
            if time.monotonic() > end:
                return len(done)
            done.add(execution_id)
            try:
                step(core, execution_id)
            except (errors.ObjectStoreError, redis.RedisError):
                raise
            except Exception:  # one that cannot be handled must not keep the others
                log.exception("%s: retention failed, it is tried again later", execution_id)
                core.store.retention.later(key, execution_id, before + _TROUBLE_MS)
    return len(done)


def _files(core: Core, execution_id: str) -> None:
    """The artifacts of a packed execution go; its answers say so from the first moment on."""
    if artifacts.listing(core, execution_id):
        core.store.retention.expire_files(execution_id, done=False)
    core.objects.delete_prefix(artifacts.files_folder(execution_id))
    core.objects.delete(artifacts.manifest_key(execution_id))
    core.store.retention.expire_files(execution_id, done=True)


def _expired(core: Core, execution_id: str) -> None:
    """Kept while its sandbox lives: any execution of a sandbox may be continued."""
    forget(core, execution_id, idle=True)


def forget(
    core: Core, execution_id: str, *, idle: bool = False, aside: history.Aside = history.here
) -> bool:
    """Remove a terminal execution for good: lists, history, output, artifacts, then its row.

    The last execution of a sandbox takes the sandbox with it. `idle`: only when its sandbox is
    gone. False when it was kept, or is not terminal. ObjectStoreError: the sweeper goes on.
    """
    job_ms = int(core.settings.job_days * _DAY_MS)
    verdict = core.store.retention.expire(execution_id, job_ms=job_ms, idle=idle)
    if verdict == "expiring":
        finish(core, execution_id, aside)
    return verdict in ("expiring", "missing")


def finish(core: Core, execution_id: str, aside: history.Aside = history.here) -> None:
    """The rest of `forget`: nobody sees it any more, so its objects may go, and then the row."""
    aside(lambda: core.objects.delete_prefix(artifacts.folder(execution_id)))
    sandbox, node = core.store.retention.forget(execution_id)
    if sandbox:
        core.hints.remove(sandbox, node)


def _once_more(core: Core, execution_id: str) -> None:
    """Whoever packed it or kept its files while it was forgotten has stored what nobody owns."""
    core.objects.delete_prefix(artifacts.folder(execution_id))
    core.store.retention.leave(keys.FORGOTTEN, execution_id)
