"""Places at which a test lets this process die: `KNIFY_FAILPOINT=script.claim:after:kill`.

Read once from the environment at the start, from nowhere else; unset, a point costs one look at
an empty dict. Form: `NAME:before|after:kill[:nth]`, several separated by commas. The process kills
itself with SIGKILL at the nth pass (default 1). `KNIFY_FAILPOINT_ONCE` names a file that is made
at that moment: while it exists nothing fires, so that a restarted process lives.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final, TypeVar

from knify import errors

T = TypeVar("T")

#: Steps of the runner; `end` is the move into the terminal state and what follows it.
STEPS: Final = (
    *("stage", "begin_provisioning", "provision", "launch", "take_over"),
    *("conclude", "complete", "end"),
)
#: Calls of the driver, or of the channel that it opened, which change something.
CALLS: Final = (
    *("prepare", "create", "attach", "reattach", "put_tar", "put_file", "run", "signal"),
    *("stop", "remove", "rebuild", "unpack", "seed", "freeze", "thaw"),
)
#: The request to a webhook's receiver.
SENDS: Final = ("webhook",)
_SHARED: Final = (
    "prelude",
    "admission",
    "webhooks",
    "family",
    "runs",
    "accept",
)  # files that are put before the scripts
#: Of a node's unpacked workspaces.
CACHE: Final = ("cache.publish", "cache.evict")
_OPENS: Final = ("attach", "reattach", "thaw")  # calls that return a channel
_FORM: Final = "NAME:before|after:kill[:nth]"
_POINT: Final = re.compile(r"([a-z_.]+):(before|after):kill(?::([1-9][0-9]{0,8}))?", re.ASCII)


def names() -> list[str]:
    """All points of this version: steps, scripts of the store, calls of the driver."""
    lua = (resources.files("knify") / "store" / "lua").iterdir()
    scripts = sorted(file.name.removesuffix(".lua") for file in lua if file.name.endswith(".lua"))
    found = [f"step.{name}" for name in STEPS]
    found += [f"script.{name}" for name in scripts if name not in _SHARED]
    found += [f"send.{name}" for name in SENDS]
    return found + [f"driver.{name}" for name in CALLS] + list(CACHE)


def parse(text: str) -> dict[tuple[str, str], int]:
    """(name, before or after) and at which pass to die. ConfigError names the wrong part."""
    points = {}
    for part in filter(None, text.split(",")):
        found = _POINT.fullmatch(part)
        if found is None:
            raise errors.ConfigError(f"KNIFY_FAILPOINT: {part!r} is not a point: use {_FORM}")
        name, when, nth = found.groups()
        if name not in names():
            raise errors.ConfigError(f"KNIFY_FAILPOINT: no point {name!r}: {', '.join(names())}")
        points[name, when] = int(nth or 1)
    return points


def hit(name: str, when: str) -> None:
    """Pass a point; perhaps never return."""
    if _left:
        _pass((name, when))


def around(driver: T) -> T:
    """The driver itself, or, when points are set, one that passes them."""
    wrapped: Any = _Passing(driver) if _left else driver
    return wrapped  # type: ignore[no-any-return]


class _Passing:
    """A driver or channel whose changing calls are points."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in CALLS:
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            hit(f"driver.{name}", "before")
            answer = await found(*args, **kwargs)
            hit(f"driver.{name}", "after")
            return _Passing(answer) if name in _OPENS else answer

        return call


def _pass(point: tuple[str, str]) -> None:
    with _lock:
        left = _left.get(point, 0)
        _left[point] = left - 1
    if left == 1 and _is_first():
        sys.stderr.write(f"knify: killed at {point[0]}:{point[1]}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first() -> bool:
    """Whether no process has died at a point since the marker file was last removed."""
    if not _once:
        return True
    try:
        os.close(os.open(_once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _from_environment(environ: Mapping[str, str]) -> dict[tuple[str, str], int]:
    try:
        return parse(environ.get("KNIFY_FAILPOINT", ""))
    except errors.ConfigError as wrong:
        raise SystemExit(f"knify: {wrong.message}") from None


_lock = threading.Lock()
_once = os.environ.get("KNIFY_FAILPOINT_ONCE", "")
_left = _from_environment(os.environ)
