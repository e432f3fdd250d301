"""All pages of the console: to import this is to have them."""

from __future__ import annotations

from api.console import (
    jobactions,
    jobfiles,
    joblines,
    joblist,
    jobpage,
    newjob,
    signin,
    system,
)
from api.console.blueprint import blp

__all__ = [
    "blp", "jobactions", "jobfiles", "joblines", "joblist", "jobpage", "newjob", "signin",
    "system",
]  # fmt: skip
