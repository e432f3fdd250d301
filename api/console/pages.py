"""All pages of the console: to import this is to have them."""

from __future__ import annotations

from api.console import joblist, newjob, signin, system
from api.console.blueprint import blp

__all__ = ["blp", "joblist", "newjob", "signin", "system"]
