"""Whom a `user_exam` is about, and in which time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from knify import clock, fields

MAX_USER_ID: Final = 256  # characters
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MOMENT: Final = "2026-01-31T10:00:00Z"


def user_id(written: str | None) -> str | None:
    """A user's id, as the sources have it. BadRequest."""
    if written is not None and (len(written) > MAX_USER_ID or _CONTROL.search(written)):
        message = f"user_id has 1 to {MAX_USER_ID} characters, none of them of control"
        raise fields.bad("user_id", message)
    return written


def time_range(written: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """First and last moment, in ms. BadRequest."""
    if written is None:
        return None
    for name in written:
        if name not in ("from", "to"):
            raise fields.bad(f"time_range.{name[:40]}", "a time_range has from and to")
    start, end = (_moment(name, written.get(name)) for name in ("from", "to"))
    if start > end:
        raise fields.bad("time_range.to", "to lies before from")
    return start, end


def _moment(name: str, written: Any) -> int:
    if not isinstance(written, str):
        raise fields.bad(f"time_range.{name}", f"a time_range needs {name}, such as {_MOMENT}")
    try:
        return clock.parse_rfc3339(written)
    except ValueError as failed:
        raise fields.bad(f"time_range.{name}", f"{name}: {failed}") from failed
