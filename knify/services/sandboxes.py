"""Use cases on sandboxes as such: how long an idle one is kept."""

from __future__ import annotations

from knify import conflicts, errors, model
from knify.core import Core


def extend(
    core: Core, tenant: str, sandbox_id: str, *, seconds: float | None = None
) -> model.Sandbox:
    """Keep an idle one for so long from now on, by default as long as one whose job has just ended.

    Never shorter than it would be kept anyway. NotFound; BadRequest beyond KNIFY_SANDBOX_DAYS;
    SandboxBusy, SandboxDeleted, SandboxExpired, SandboxLost, SandboxNone.
    """
    most = core.settings.sandbox_days * 86_400
    core.store.sandboxes.get(sandbox_id, tenant=tenant)
    if seconds is not None and seconds > most:
        raise errors.BadRequest(
            f"expires_in: a sandbox is kept for {core.settings.sandbox_days:g} days at most "
            "(KNIFY_SANDBOX_DAYS)",
            detail={"field": "expires_in"},
        )
    try:
        core.store.sandboxes.extend(sandbox_id, int((most if seconds is None else seconds) * 1000))
    except conflicts.SandboxBusy as busy:
        raise conflicts.SandboxBusy(
            "jobs run or wait in this sandbox: its time begins anew when the last of them ends"
        ) from busy
    return core.store.sandboxes.get(sandbox_id, tenant=tenant)
