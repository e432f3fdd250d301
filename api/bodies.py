"""JSON bodies as strictly as they should be read: size, encoding, depth, no doubled names."""

from __future__ import annotations

import collections
import hashlib
import json
import re
from typing import Any, NoReturn

import flask
from gunicorn.http.errors import InvalidChunkSize

from api import errors as api_errors
from api import measure
from knify import errors

MAX_DEPTH = 64
MAX_VALUES = 20_000  # items, members, lists and objects, all together
IDEMPOTENCY_KEY = "Idempotency-Key"
_MAX_KEY = 255  # characters of an Idempotency-Key
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read() -> Any:
    """The request's JSON body. BadRequest, TooLarge, UnsupportedMediaType."""
    request = flask.request
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        sent = f"not {request.mimetype}" if request.mimetype else "there is none"
        raise api_errors.UnsupportedMediaType(
            f"send the body as JSON with Content-Type: application/json ({sent})"
        )
    found = raw()
    if not found:
        raise errors.BadRequest("the body is empty: send a JSON object")
    return parse(found)


def read_optional() -> Any:
    """The same, and an empty object when there is no body at all."""
    return read() if raw() else {}


def raw() -> bytes:
    """The body's bytes. BadRequest, TooLarge."""
    request = flask.request
    try:
        found = request.get_data(cache=True)
    except InvalidChunkSize as broken:
        raise errors.BadRequest("the body's chunks are malformed") from broken
    most = request.max_content_length
    if request.content_length is None and most is not None and len(found) >= most:
        raise errors.TooLarge()  # a chunked body, which the framework has cut off there
    return found


def parse(raw: bytes) -> Any:
    """Text to values, refusing what other readers of it would understand otherwise."""
    if measure.exceeds(raw, b"[{,", MAX_VALUES):
        raise errors.BadRequest(f"the body has more than {MAX_VALUES} values: send fewer")
    try:
        text = raw.decode("utf-8")
        value = _DECODER.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as failed:
        raise errors.BadRequest("the body is not valid UTF-8") from failed
    except RecursionError as failed:
        raise _too_deep() from failed
    except ValueError as failed:
        raise errors.BadRequest(f"the body is not valid JSON: {failed}") from failed
    _check_depth(value, MAX_DEPTH)
    return value


def digest() -> str:
    """What an Idempotency-Key is bound to: the route and the body, however it is spaced.

    No body at all is another one than `{}`, which only some routes take it for.
    """
    body = json.dumps(read(), sort_keys=True, separators=(",", ":")) if raw() else ""
    return hashlib.sha256(f"{flask.request.path}\n{body}".encode()).hexdigest()


def idempotency() -> tuple[str, str]:
    """`idempotency_key` and `digest` of a Submission; both empty without the header."""
    key = idempotency_key()
    return ("", "") if key is None else (key, digest())


def idempotency_key() -> str | None:
    """The header, checked; None without it."""
    key = flask.request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None
    if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise errors.BadRequest(
            f"an Idempotency-Key has 1 to {_MAX_KEY} printable ASCII characters",
            detail={"field": IDEMPOTENCY_KEY},
        )
    return key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = collections.Counter(name for name, _ in pairs)  # a megabyte holds many names
        double, _ = counts.most_common(1)[0]
        raise ValueError(f"the name {double[:100]!r} stands twice in one object")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


def _check_depth(value: Any, left: int) -> None:
    if not isinstance(value, dict | list):
        return
    if left == 0:
        raise _too_deep()
    for item in value.values() if isinstance(value, dict) else value:
        _check_depth(item, left - 1)


def _too_deep() -> errors.BadRequest:
    return errors.BadRequest(f"the body is nested more than {MAX_DEPTH} deep")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_float=_number
)
