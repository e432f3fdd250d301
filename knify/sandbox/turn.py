"""A turn as a shell script: environment, folder, command. It reaches the sandbox as a file."""

from __future__ import annotations

import re
import shlex

from knify import errors
from knify.sandbox import base

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXECUTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

# The shell would prefer its own applets to the image's programs, so the PATH is walked here.
# An image without a shell gets ours, with its applets behind the image's own PATH.
_START = """\
find_program() {
    case $1 in */*) program=$1; return 0 ;; esac
    IFS=:
    for folder in $PATH; do
        program=${folder:-.}/$1
        [ -f "$program" ] && [ -x "$program" ] && { unset IFS; return 0; }
    done
    unset IFS
    [ "$1" = sh ] || { echo "$1: not found" >&2; exit 127; }
    PATH=$PATH:/.knify/bin program=/.knify/bin/sh
}
find_program "$1"
shift
exec "$program" "$@"
"""


def script(turn: base.Turn, argv: tuple[str, ...]) -> bytes:
    """The script that becomes `argv` in the turn's folder and environment.

    Raises BadRequest for what no shell can pass on: NULs and odd variable names.
    """
    if not argv:
        raise errors.BadRequest("there is no command to run, and the image names none")
    lines = ['/.knify/busybox rm -f "$0"']  # it holds secrets; the shell has it open
    lines += [f"export {_name(name)}={_quote(value)}" for name, value in turn.env.items()]
    lines.append(f"cd {_quote(turn.cwd)} || exit 126")
    if turn.stdin is not None:
        lines.append(f"exec <{_quote(turn.stdin)} || exit 126")
        lines.append(f"/.knify/busybox rm -f {_quote(turn.stdin)}")
    lines.append("set -- " + " ".join(_quote(word) for word in argv))
    return ("\n".join(lines) + "\n" + _START).encode("utf-8", "surrogateescape")


def check_execution(execution: str) -> str:
    """The execution's id, if it may become the name of a file."""
    if not _EXECUTION.fullmatch(execution):
        raise errors.SandboxError(f"not a name for an execution: {execution!r}")
    return execution


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise errors.BadRequest(f"not a name for an environment variable: {name!r}")
    return name


def _quote(text: str) -> str:
    if "\0" in text:
        raise errors.BadRequest("a command or its environment must not hold NUL")
    return shlex.quote(text)
