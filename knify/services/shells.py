"""Shells in the sandboxes of tasks that have ended: a turn like any other, to which one may type.

So a shell has all that turns have: a lease, limits, a history, its output kept and cleaned of
secrets, an end whatever dies. What was typed is in no record but as far as the shell repeats it.
"""

from __future__ import annotations

from typing import Final

from knify import apikeys, conflicts, lifecycle, model
from knify.agents import base as agents
from knify.core import Core
from knify.sandbox import base as sandbox_base
from knify.services import jobs, tasks
from knify.store import notices

IDLE: Final = "15m"  # without anything typed or printed
LONGEST: Final = "8h"
ENTERED: Final = "shell_entered"  # an event of its history
SIGNALS: Final = ("INT", "TERM", "HUP")
#: What is typed comes through this; a shell holds it open both ways, so it never sees an end.
PIPE: Final = f"{sandbox_base.RUN}/typed"
_SCRIPT: Final = f"""\
b={agents.BUSYBOX}
PATH=$PATH:/.knify/bin
$b mkfifo -m 600 {PIPE} || exit 126
echo "a shell in $PWD, until you say exit or say nothing for {IDLE}"
export PS1= PS2=
exec $b sh -i +m <>{PIPE}
"""
COMMAND: Final = (agents.BUSYBOX, "sh", "-c", _SCRIPT, "shell")


def is_shell(x: model.Execution) -> bool:
    """Whether it listens to what is typed.

    Only `open_` writes this field: a job may have a shell's command and metadata, but nobody who
    can submit one may make it pass as an administrator's.
    """
    return x.opened_by is not None


def open_(core: Core, key: apikeys.ApiKey, task_id: str) -> model.Execution:
    """The shell that is open in the task's sandbox, or else a new one.

    TaskNotFound; SandboxBusy while something else runs or waits there; SandboxDeleted,
    SandboxExpired, SandboxLost, SandboxNone.
    """
    x = tasks.get(core, key.tenant, task_id)
    if x.state not in lifecycle.TERMINAL:
        detail = {"jobs": [x.id]}
        raise conflicts.SandboxBusy("the task has not ended: cancel it, or wait", detail=detail)
    turns = core.store.executions.get_many(core.store.sandboxes.turns(x.sandbox_id or ""))
    if turns and is_shell(turns[0]):
        return turns[0]
    if turns:
        detail = {"jobs": [turn.id for turn in turns]}
        raise conflicts.SandboxBusy("jobs run or wait in the task's sandbox", detail=detail)
    request = {
        "job_type": "command_task",
        "command": list(COMMAND),
        "timeout": LONGEST,
        "hang_timeout": IDLE,
        "metadata": {"shell_of": x.task_id, "opened_by": key.id},
    }
    submission = jobs.Submission(request, name=f"shell of {x.task_id}"[:200], opened_by=key.id)
    accepted = jobs.continue_(core, key.tenant, x.id, submission)
    return core.store.executions.get(accepted.answer.id, tenant=key.tenant)


def find(core: Core, tenant: str, task_id: str, shell_id: str) -> model.Execution:
    """A shell in this task's sandbox. TaskNotFound, NotFound, SandboxNone for any other job."""
    task = tasks.get(core, tenant, task_id)
    x = core.store.executions.get(shell_id, tenant=tenant)
    if x.sandbox_id != task.sandbox_id or not is_shell(x):
        raise conflicts.SandboxNone(f"no shell {shell_id} of this task")
    return x


def enter(core: Core, key: apikeys.ApiKey, x: model.Execution) -> None:
    """Into the shell's history, once for each key: who can type into it from now on."""
    who = "the key that opened it" if key.id == x.opened_by else "another key"
    words = f"{key.id} may type, {who}"
    core.store.notices.tell(x.id, [notices.Notice(f"shell {key.id}", ENTERED, "info", words)])
