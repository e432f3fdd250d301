"""Answers to what is no HTTP request: the envelope, like everywhere, and the end of the connection.

What comes behind a broken head is never read as another request.
"""

from __future__ import annotations

import http
import json
from typing import Final

from gunicorn.http import errors as gunicorn

from api import errors as api_errors
from knify import ids

_STATUS: Final[dict[type[Exception], int]] = {
    gunicorn.LimitRequestLine: 414,
    gunicorn.LimitRequestHeaders: 431,
    gunicorn.ExpectationFailed: 417,
    gunicorn.UnsupportedTransferCoding: 501,
}
_WORDS: Final = {
    400: "this is no HTTP request that readers would understand alike",
    414: "the request's first line is too long",
    417: "this expectation cannot be met",
    431: "the request's headers are too many or too long",
    501: "this transfer coding is not known here",
}


def answer(failed: BaseException) -> bytes | None:
    """The whole answer; None for what is not the request's fault."""
    if not isinstance(failed, gunicorn.ParseException):
        return None
    status = next((s for kind, s in _STATUS.items() if isinstance(failed, kind)), 400)
    code = api_errors.HTTP_CODES.get(status, "BAD_REQUEST")
    body = json.dumps(api_errors.envelope(_WORDS[status], None, code)).encode()
    lines = [
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        f"X-Request-Id: {ids.new('req')}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
