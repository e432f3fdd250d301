"""The one error tree of Knify.

The first line of each docstring is the default message and `code` is stable: clients may
branch on it. HTTP status numbers live only in `api/errors.py`.
"""

from __future__ import annotations


class KnifyError(Exception):
    """Something went wrong."""

    code = "INTERNAL_ERROR"

    def __init__(self, message: str | None = None, *, detail: object = None) -> None:
        """`message` is for people; `detail` is JSON-able context such as the field's path."""
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        self.detail = detail
        super().__init__(self.message)


class BadRequest(KnifyError):
    """The request is not valid."""

    code = "BAD_REQUEST"


class TooLarge(BadRequest):
    """The request or one of its parts is too large."""

    code = "TOO_LARGE"


class ImageMissing(BadRequest):
    """The image is not on any node."""

    code = "IMAGE_MISSING"


class EgressRefused(BadRequest):
    """Knify does not connect to such an address."""

    code = "EGRESS_REFUSED"


class NameUnknown(KnifyError):
    """The host's name has no address."""

    code = "NAME_UNKNOWN"


class AgentNotConfigured(BadRequest):
    """The agent's credential is not configured."""

    code = "AGENT_NOT_CONFIGURED"


class SecretMissing(BadRequest):
    """A secret that the job names cannot be given to it."""

    code = "SECRET_MISSING"


class InsufficientResources(KnifyError):
    """No node can ever hold this job."""

    code = "INSUFFICIENT_RESOURCES"


class WorkspaceNone(BadRequest):
    """The workspace was deleted a moment ago."""

    code = "WORKSPACE_NONE"


class Unauthorized(KnifyError):
    """Missing or invalid API key."""

    code = "UNAUTHORIZED"


class Forbidden(KnifyError):
    """The key lacks the scope that this call needs."""

    code = "FORBIDDEN"


class NotFound(KnifyError):
    """No such resource."""

    code = "NOT_FOUND"


class Conflict(KnifyError):
    """The resource's state does not allow this."""

    code = "CONFLICT"


class SandboxExpired(KnifyError):
    """The sandbox has expired."""

    code = "SANDBOX_EXPIRED"


class ArtifactsExpired(KnifyError):
    """The job's artifacts were kept for their time and are gone."""

    code = "ARTIFACTS_EXPIRED"


class RateLimited(KnifyError):
    """Too many requests with this key."""

    code = "RATE_LIMITED"


class IdempotencyConflict(KnifyError):
    """This Idempotency-Key was used with another body."""

    code = "IDEMPOTENCY_CONFLICT"


class LeaseLost(KnifyError):
    """Another worker owns this execution now; nothing was written."""

    code = "LEASE_LOST"


class StoreUnavailable(KnifyError):
    """Redis does not answer."""

    code = "STORE_UNAVAILABLE"


class NotReplicated(StoreUnavailable):
    """It is on one machine only: repeat it with its Idempotency-Key until it is on more."""

    code = "NOT_REPLICATED"


class StoreFull(StoreUnavailable):
    """Redis has no memory left: give it more (maxmemory), or keep less (KNIFY_JOB_DAYS)."""

    code = "STORE_FULL"


class StoreEmpty(StoreUnavailable):
    """Redis has lost its data, all keys with it: start Knify anew, which makes an admin key."""

    code = "STORE_EMPTY"


class TransfersBusy(KnifyError):
    """Too many uploads and downloads are under way."""

    code = "TRANSFERS_BUSY"


class StreamsBusy(KnifyError):
    """Too many streams are open."""

    code = "STREAMS_BUSY"


class TooSlow(BadRequest):
    """The body came too slowly."""

    code = "TOO_SLOW"


class ObjectMissing(NotFound):
    """No such object in the object store."""

    code = "OBJECT_MISSING"


class ObjectStoreError(KnifyError):
    """The object store does not answer or refused."""

    code = "OBJECT_STORE_ERROR"


class StorageFull(ObjectStoreError):
    """The server has no room for this."""

    code = "STORAGE_FULL"


class SandboxError(KnifyError):
    """The sandbox could not be created or driven."""

    code = "SANDBOX_ERROR"


class OutOfTime(KnifyError):
    """What was asked for took longer than it may."""

    code = "OUT_OF_TIME"


class CutShort(OutOfTime):
    """The job was cancelled while this was done."""

    code = "CUT_SHORT"


class SandboxTimeout(SandboxError):
    """Podman did not answer in time."""

    code = "SANDBOX_TIMEOUT"


class SandboxGone(SandboxError):
    """The sandbox's container no longer exists."""

    code = "SANDBOX_GONE"


class NodeFull(SandboxError):
    """The node has no room for another sandbox."""

    code = "NODE_FULL"


class GatewayAway(SandboxError):
    """The node's gateway does not answer."""

    code = "GATEWAY_AWAY"


class SecretsAway(SandboxError):
    """Where the job's secrets are does not answer."""

    code = "SECRETS_AWAY"


class NodeBusy(SandboxError):
    """Another job prepares here what this one needs as well."""

    code = "NODE_BUSY"


class SandboxRuns(SandboxError):
    """The sandbox's container runs already."""

    code = "SANDBOX_RUNS"


class ConfigError(KnifyError):
    """A setting is wrong."""

    code = "CONFIG_ERROR"


class StoreNewer(ConfigError):
    """The store was upgraded by a newer version: upgrade Knify here, too."""

    code = "STORE_NEWER"


class InvalidManifest(BadRequest):
    """The manifest is not valid."""

    code = "INVALID_MANIFEST"


class TaskNotFound(NotFound):
    """No such task."""

    code = "TASK_NOT_FOUND"
