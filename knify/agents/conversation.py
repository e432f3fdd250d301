"""How an agent's program goes on with a conversation, or begins one.

Where it keeps them is below its home, in the sandbox. A conversation that a job inherits may not be
there: the job before may have ended before its agent wrote anything. Then this one begins anew, and
says so. One that the user named is asked for as it is, and the agent fails if it has none.
"""

from __future__ import annotations

import shlex
import uuid
from dataclasses import dataclass, field

from knify.agents import base

NEW = "knify.new_conversation"  # the type of our own line, before the agent's first
_SCRIPT = "begin.sh"


@dataclass(frozen=True, slots=True)
class Start:
    """What is to be started, with which of a plan's files."""

    argv: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)


def fresh() -> str:
    """The id of a new one."""
    return str(uuid.uuid4())


def inherited(kept: str, resuming: tuple[str, ...], beginning: tuple[str, ...]) -> Start:
    """`resuming` if there is a file `kept` below the agent's home, else `beginning`.

    `kept` is a pattern of the shell, made of nothing that it could take for more.
    """
    script = (
        f'for kept in "$HOME"/{kept}; do\n'
        f'  [ -s "$kept" ] && exec {shlex.join(resuming)}\n'
        "done\n"
        f"""echo '{{"type":"{NEW}"}}'\n"""
        f"exec {shlex.join(beginning)}\n"
    )
    argv = (base.BUSYBOX, "sh", f"{base.TURN}/{_SCRIPT}")
    return Start(argv, {_SCRIPT: script.encode()})


def lost(session: str | None) -> base.Event:
    """What is told when it begins anew."""
    message = f"the conversation {session} is not in this sandbox: a new one begins"
    return {"type": "warning", "code": "AGENT_SESSION_NOT_FOUND", "message": message}
