"""How commands start and how they fail: one line on stderr and a stable exit code."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from knify import errors
from knify.cli import show

if TYPE_CHECKING:
    from knify.client import Client
    from knify.settings import Settings

FAILED: Final = 1  # a job failed, or the server refused
USAGE: Final = 2  # wrong arguments or settings
NO_CONNECTION: Final = 3
INTERRUPTED: Final = 130
_EXIT_CODES: Final = {
    "CONFIG_ERROR": USAGE,
    "WORKSPACE_INVALID": USAGE,
    "CONNECTION_FAILED": NO_CONNECTION,
}


class Group(click.Group):
    """A command group whose commands may raise any KnifyError."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of Knify's becomes one of click's."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except errors.KnifyError as failed:
            raise Failure(failed) from failed
        except BrokenPipeError:
            raise  # click's: the reader has gone, such as `head`
        except OSError as failed:
            raise click.ClickException(show.clean(failed)) from failed


class Failure(click.ClickException):
    """An error of Knify's as click shows it."""

    def __init__(self, failed: errors.KnifyError) -> None:
        super().__init__(failed.message)
        setattr(self, "exit_code", _EXIT_CODES.get(failed.code, FAILED))  # noqa: B010 - click's
        self._failed = failed

    def show(self, file: Any = None) -> None:
        """The message, what it is about, and what to do."""
        show.line(f"Error: {self.message}", err=True, fg="red")
        request_id = getattr(self._failed, "request_id", None)
        detail = self._failed.detail
        for name, value in (detail if isinstance(detail, dict) else {"detail": detail}).items():
            if value is not None:
                show.line(f"  {name}: {value}", err=True)
        if self._failed.code == "UNAUTHORIZED":
            show.line("  set KNIFY_API_KEY, or run this as the user of `knify up`", err=True)
        if self._failed.code == "INTERNAL_ERROR" and request_id:
            show.line(f"  in the server's log: {request_id}", err=True)


def client() -> Client:
    """The SDK's client; imported late because it takes longer than all of `--help`."""
    from knify.client import Client

    opened = Client()
    click.get_current_context().call_on_close(opened.close)
    return opened


def settings() -> Settings:
    """This machine's settings, for commands that work on it directly."""
    from knify import settings as settings_module

    return settings_module.load()


def later(module: str) -> Any:
    """A module that only one command needs, imported when it is run."""
    return importlib.import_module(module)


def leave(code: int | None) -> NoReturn:
    """End the command with this exit code."""
    click.get_current_context().exit(code or 0)
