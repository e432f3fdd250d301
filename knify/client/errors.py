"""What can go wrong between a client and the server, as part of Knify's one error tree."""

from __future__ import annotations

from typing import Final

from knify import errors


class ApiError(errors.KnifyError):
    """The server refused the request."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: object = None,
        request_id: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        """`code` is the server's stable name for the error; `request_id` finds it in its log.

        `retry_after`: when the server wants to be asked again, as its header says it.
        """
        super().__init__(message, detail=detail)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        """All that whoever looks for the cause needs."""
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message} ({self.status} {self.code}{request})"


class BadRequest(ApiError):
    """A field, a query or an archive is wrong; `detail` names it."""


class Unauthorized(ApiError):
    """No key, or none that is valid."""


class Forbidden(ApiError):
    """The key lacks the scope."""


class NotFound(ApiError):
    """No such thing, or another tenant's."""


class Conflict(ApiError):
    """The state of the thing does not allow this; `code` says which state."""


class Gone(ApiError):
    """It was there, and its time is over."""


class IdempotencyConflict(ApiError):
    """The Idempotency-Key was used with another body."""


class RateLimited(ApiError):
    """Too many requests; `retry_after` says when to come back."""


class Unavailable(ApiError):
    """The server, or something that it needs, is away for a moment."""


class ServerFailed(ApiError):
    """A bug of the server's; `request_id` finds it in its log."""


class InsufficientResources(ApiError):
    """No node could ever hold what the job asks for."""


class ConnectionFailed(errors.KnifyError):
    """The server does not answer."""

    code = "CONNECTION_FAILED"


class WaitTimeout(errors.KnifyError):
    """The job did not end in time; it goes on."""

    code = "WAIT_TIMEOUT"


class ArtifactDamaged(errors.KnifyError):
    """A download's SHA-256 is not the one that the server promised; nothing was kept."""

    code = "ARTIFACT_DAMAGED"


class UnsafePath(errors.KnifyError):
    """An artifact's path leads out of the target folder."""

    code = "UNSAFE_PATH"


class WorkspaceInvalid(errors.KnifyError):
    """The folder or archive cannot be uploaded as a workspace."""

    code = "WORKSPACE_INVALID"


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: BadRequest,
    415: BadRequest,
    422: IdempotencyConflict,
    429: RateLimited,
    500: ServerFailed,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: InsufficientResources,
}


def kind(status: int) -> type[ApiError]:
    """The class for a refusal with this HTTP status."""
    return _BY_STATUS.get(status, ApiError)
