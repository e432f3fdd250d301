"""All pages of the console: to import this is to have them."""

from __future__ import annotations

from api.console import (
    hooklist,
    hookpage,
    jobactions,
    jobfiles,
    joblines,
    joblist,
    jobpage,
    keylist,
    manifests,
    newjob,
    sandboxlist,
    sandboxpage,
    scheduleedit,
    scheduleoutput,
    schedules,
    signin,
    system,
    tasklist,
    workspacelist,
    workspacepage,
)
from api.console.blueprint import blp

__all__ = [
    "blp",
    "hooklist",
    "hookpage",
    "jobactions",
    "jobfiles",
    "joblines",
    "joblist",
    "jobpage",
    "keylist",
    "manifests",
    "newjob",
    "sandboxlist",
    "sandboxpage",
    "scheduleedit",
    "scheduleoutput",
    "schedules",
    "signin",
    "system",
    "tasklist",
    "workspacelist",
    "workspacepage",
]
