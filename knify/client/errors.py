"""What can go wrong between a client and the server, as part of Knify's one error tree."""

from __future__ import annotations

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
