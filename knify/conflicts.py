"""The errors of the tree that say: not as things stand now. They are `errors.Conflict`s."""

from __future__ import annotations

from knify import errors


class SandboxDeleted(errors.Conflict):
    """The sandbox was cleaned up; it cannot be continued."""

    code = "SANDBOX_DELETED"


class SandboxNone(errors.Conflict):
    """No sandbox was ever made for this job."""

    code = "SANDBOX_NONE"


class SandboxLost(errors.Conflict):
    """The sandbox's host is gone and it was not archived."""

    code = "SANDBOX_LOST"


class SandboxBusy(errors.Conflict):
    """Other turns of this sandbox run or wait."""

    code = "SANDBOX_BUSY"


class NodeAlive(errors.Conflict):
    """The node sends heartbeats: stop its worker, and ask again a minute later."""

    code = "NODE_ALIVE"


class NodeInUse(errors.Conflict):
    """The node still has jobs or sandboxes; `detail` has their numbers."""

    code = "NODE_IN_USE"


class WorkspaceBusy(errors.Conflict):
    """Jobs still have to begin with this workspace version."""

    code = "WORKSPACE_BUSY"


class ArtifactWithheld(errors.Conflict):
    """The file holds the value of a secret: it was not kept."""

    code = "ARTIFACT_WITHHELD"


class SecretLimit(errors.Conflict):
    """There are as many secrets as there may be: delete one that you do not need."""

    code = "SECRET_LIMIT"


class WebhookLimit(errors.Conflict):
    """There are as many webhooks as there may be: delete one that you do not need."""

    code = "WEBHOOK_LIMIT"


class WebhookInactive(errors.Conflict):
    """The webhook is switched off: PATCH it with {"active": true} first."""

    code = "WEBHOOK_INACTIVE"


class KeyGone(errors.Conflict):
    """The key is revoked or has expired: make a new one."""

    code = "KEY_GONE"


class KeyChanged(errors.Conflict):
    """Another request rotated this key in the same moment: look at it and try again."""

    code = "KEY_CHANGED"


class LastAdminKey(errors.Conflict):
    """No other lasting key of this tenant has the scope admin: make one first, or use force."""

    code = "LAST_ADMIN_KEY"


class TooManyKeys(errors.Conflict):
    """The tenant has as many keys as it may have; revoked ones count for 30 days."""

    code = "TOO_MANY_KEYS"


class IdempotencyBusy(errors.Conflict):
    """The first request with this Idempotency-Key is still at work: ask again in a moment."""

    code = "IDEMPOTENCY_BUSY"


class IllegalTransition(errors.Conflict):
    """The state table does not allow this move."""

    code = "ILLEGAL_TRANSITION"


class DuplicateTaskId(errors.Conflict):
    """There is a task with this id: leave out metadata.id, or choose another."""

    code = "DUPLICATE_TASK_ID"


class ParentEnded(errors.Conflict):
    """The parent task has ended: it has no more children."""

    code = "PARENT_ENDED"


class TooManyChildren(errors.Conflict):
    """The parent task has as many children that have not ended as it may have."""

    code = "TOO_MANY_CHILDREN"


class TaskAlreadyTerminal(errors.Conflict):
    """The task has ended already."""

    code = "TASK_ALREADY_TERMINAL"


class NameTaken(errors.Conflict):
    """The project has a job of this name: choose another one, or change that job."""

    code = "NAME_TAKEN"


class DefinitionChanged(errors.Conflict):
    """Somebody else changed this job in the same moment: look at it and try again."""

    code = "JOB_CHANGED"


class TooManyDefinitions(errors.Conflict):
    """The workspace has as many jobs as it may have: delete some that you do not need."""

    code = "TOO_MANY_JOBS"


class RetryGone(errors.Conflict):
    """The failed run is not tried again any more."""

    code = "RETRY_GONE"


class RunAlreadyTerminal(errors.Conflict):
    """The run has ended already."""

    code = "RUN_ALREADY_TERMINAL"
