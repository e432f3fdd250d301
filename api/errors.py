"""The one error handler: every failure becomes an envelope here, and only here a status number."""

from __future__ import annotations

import logging
from typing import Any, Final

import flask
import redis
from werkzeug import exceptions as http

from knify import conflicts, errors

RETRY_SECONDS = 2
TRANSFER_SECONDS = 5  # when all places for uploads and downloads are taken

log = logging.getLogger(__name__)


class NotReady(errors.KnifyError):
    """This service cannot run jobs now."""

    code = "NOT_READY"


class SlowBody(errors.BadRequest):
    """The request's body did not come in time."""

    code = "REQUEST_TIMEOUT"


class UnsupportedMediaType(errors.BadRequest):
    """The body's content type is not understood."""

    code = "UNSUPPORTED_MEDIA_TYPE"


#: What each error of the tree is in HTTP; a class not listed counts as its nearest parent.
STATUS: Final[dict[type[BaseException], int]] = {
    errors.KnifyError: 500,
    errors.BadRequest: 400,
    errors.TooLarge: 413,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.SandboxExpired: 410,
    errors.ArtifactsExpired: 410,
    errors.IdempotencyConflict: 422,
    errors.RateLimited: 429,
    errors.LeaseLost: 409,
    errors.StoreUnavailable: 503,
    errors.ObjectStoreError: 503,
    errors.StorageFull: 507,
    errors.TransfersBusy: 429,
    errors.StreamsBusy: 429,
    errors.TooSlow: 408,
    NotReady: 503,
    errors.InsufficientResources: 507,
    UnsupportedMediaType: 415,
    SlowBody: 408,
}
#: Codes of errors that the framework itself raises.
HTTP_CODES: Final = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    414: "URI_TOO_LONG",
    416: "RANGE_NOT_SATISFIABLE",
    417: "EXPECTATION_FAILED",
    431: "HEADERS_TOO_LARGE",
    501: "NOT_IMPLEMENTED",
}
#: Replies by which Redis says that it cannot serve anybody now.
_REDIS_AWAY: Final = (
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "READONLY",
    "BUSY ",
    "UNBLOCKED",
)
#: By which it says that it has no memory left; the client cuts the code off the second's message.
_REDIS_FULL: Final = ("OOM", "maxmemory")


#: In place of the framework's own texts, which speak to people with browsers.
_HTTP_MESSAGES = {
    404: "there is nothing at this path: /openapi.json lists all of them",
    405: "this path does not know this method: /openapi.json lists both",
    413: "the body is larger than this server takes (KNIFY_MAX_BODY_BYTES, KNIFY_WORKSPACE_BYTES)",
}


def handle(failed: Exception) -> flask.typing.ResponseReturnValue:
    """The answer to any exception that a request ended with."""
    if isinstance(failed, http.HTTPException):
        return _http(failed)
    if isinstance(failed, redis.RedisError):
        failed = of_redis(failed)
    if isinstance(failed, errors.KnifyError):
        return _known(failed)
    log.error("request %s failed", flask.g.request_id, exc_info=failed)
    return _internal()


def of_redis(failed: redis.RedisError) -> Exception:
    """StoreUnavailable when Redis is away, full, or refuses everybody, else the error itself."""
    if isinstance(failed, redis.ConnectionError | redis.TimeoutError):
        return errors.StoreUnavailable()
    said = str(failed) if isinstance(failed, redis.ResponseError) else ""
    if any(word in said for word in _REDIS_FULL):
        return errors.StoreFull()
    return errors.StoreUnavailable() if any(word in said for word in _REDIS_AWAY) else failed


def of_tasks(path: str) -> bool:
    """Whether the Tasks API speaks here, whose errors have another form; health is everybody's."""
    return path.startswith("/api/v1/") and not path.startswith("/api/v1/health")


def of_projects(path: str) -> bool:
    """Whether the Projects API speaks here, which says a little more."""
    return path.startswith("/v1/")


def envelope(message: str, detail: Any, code: str, path: str = "") -> dict[str, Any]:
    """The body of an error, as the API at this path speaks."""
    if of_tasks(path):
        details = detail if isinstance(detail, dict) else {}
        return {"error": code.lower(), "message": message, "details": details}
    return {"error": message, "detail": detail, "code": code}


def _body(status: int, message: str, detail: Any, code: str) -> dict[str, Any]:
    path = flask.request.path
    more = {"message": message, "status": status} if of_projects(path) else {}
    return envelope(message, detail, code, path) | more


def status_of(failed: errors.KnifyError) -> int:
    """The HTTP status of an error of the tree."""
    return next(STATUS[kind] for kind in type(failed).__mro__ if kind in STATUS)


def _known(failed: errors.KnifyError) -> flask.typing.ResponseReturnValue:
    status = status_of(failed)
    if status >= 500:
        log.warning("%s: %s", failed.code, failed.message)
    headers = {}
    if status == 503 or isinstance(failed, conflicts.IdempotencyBusy):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(failed, errors.TransfersBusy | errors.StreamsBusy):
        headers["Retry-After"] = str(TRANSFER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="knify"'
    body = _body(status, failed.message, failed.detail, failed.code)
    return flask.jsonify(body), status, headers


def _http(failed: http.HTTPException) -> flask.typing.ResponseReturnValue:
    status = failed.code or 500
    if status < 400:  # a redirect, not an error
        return failed.get_response()
    if status == 500:
        return _internal()
    code = HTTP_CODES.get(status, "BAD_REQUEST")
    message = _HTTP_MESSAGES.get(status) or failed.description or failed.name
    response = flask.jsonify(_body(status, message, None, code))
    response.status_code = status
    for name, value in failed.get_headers():
        if name.lower() not in ("content-type", "content-length"):  # keeps Allow, Content-Range
            response.headers[name] = value
    return response


def _internal() -> flask.typing.ResponseReturnValue:
    detail = {"request_id": flask.g.request_id}
    message = "something went wrong here; the server's log has it under this request id"
    body = _body(500, message, detail, "INTERNAL_ERROR")
    return flask.jsonify(body), 500
