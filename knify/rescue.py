"""Archives that Redis, put back to an older state, does not know to be the sandbox.

An archive's object is complete or not there, and container and volumes are removed only after it
became the sandbox. So where a node has nothing of a sandbox any more, the newest archive is it.
"""

from __future__ import annotations

import logging

from knify import errors, model
from knify.core import Core
from knify.lifecycle import SandboxState

log = logging.getLogger(__name__)


def rescue(core: Core, sandbox: model.Sandbox, turn: model.Execution | None = None) -> bool:
    """Make the sandbox the archive that is left of it; False when there is none.

    Only when its node has nothing of it, or when it is archived. `turn`: the execution that
    uses it. ObjectStoreError.
    """
    key = _newest(core, sandbox)
    if key is None:
        return False
    try:
        stored = core.objects.stat(key)
    except errors.ObjectMissing:
        return False
    done = core.store.sandboxes.rescue(
        sandbox, turn, key=key, size=stored.size, sha256=stored.sha256
    )
    if done:
        log.warning("%s is its archive %s, which Redis had forgotten", sandbox.id, key)
    return done


def _newest(core: Core, sandbox: model.Sandbox) -> str | None:
    """One that the record never knew to be complete; what it replaced, a turn has changed since.

    Without a rollback only that which it was becoming: a later turn made all others outdated.
    """
    put_back = core.store.registry.rolled_back_at() >= sandbox.state_changed_at
    put_back = put_back or _is_replaced(core, sandbox)
    known = _number(sandbox.archive) if sandbox.archive else 0
    keys = [listed.key for listed in core.objects.list(f"sandboxes/{sandbox.id}")]
    fitting = [
        key for key in keys if key == sandbox.archiving or (put_back and _number(key) > known)
    ]
    return max(fitting, key=_number, default=None)


def _is_replaced(core: Core, sandbox: model.Sandbox) -> bool:
    """Whether it is an archive whose object is not there any more."""
    if sandbox.state is not SandboxState.ARCHIVED or sandbox.archive is None:
        return False
    try:
        core.objects.stat(sandbox.archive)
    except errors.ObjectMissing:
        return True
    return False


def _number(key: str) -> int:
    """Of `sandboxes/ID/NUMBER.tar.age`; later ones are higher, also across rollbacks."""
    return int(key.rpartition("/")[2].partition(".")[0])
