"""How commands start and how they fail: one line on stderr and a stable exit code."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from knify import errors
from knify.cli import show

if TYPE_CHECKING:
    from knify.client import Client
    from knify.settings import Settings

# What a command's exit code says; docs/cli.md has the table for users.
FAILED: Final = 1  # the job failed
USAGE: Final = 2  # wrong arguments or settings
NO_CONNECTION: Final = 3  # no server answers
NOT_ALLOWED: Final = 4  # no key, a wrong one, or one without the scope
CANCELLED: Final = 5  # the job was cancelled
REFUSED: Final = 6  # the server refused, or a file could not be had
NOT_ENDED: Final = 7  # the job did not end in the time that one wanted to wait
INTERRUPTED: Final = 130

LONG_PAUSE: Final = 2.0  # seconds that need a word
_EXIT_CODES: Final = {
    "CONFIG_ERROR": USAGE,
    "WORKSPACE_INVALID": USAGE,
    "CONNECTION_FAILED": NO_CONNECTION,
    "UNAUTHORIZED": NOT_ALLOWED,
    "FORBIDDEN": NOT_ALLOWED,
    "WAIT_TIMEOUT": NOT_ENDED,
}
_CLIENT: Final = "knify.client"  # where a command's context keeps it


class Group(click.Group):
    """A command group whose commands may raise any KnifyError."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of Knify's becomes one of click's."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except errors.KnifyError as failed:
            raise Failure(failed, _hints(failed, ctx.meta.get(_CLIENT))) from failed
        except BrokenPipeError:
            raise  # click's: the reader has gone, such as `head`
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(INTERRUPTED)
        except OSError as failed:
            raise Failure(errors.KnifyError(show.clean(failed))) from failed


class Failure(click.ClickException):
    """An error of Knify's as click shows it."""

    def __init__(self, failed: errors.KnifyError, hints: tuple[str, ...] = ()) -> None:
        super().__init__(failed.message)
        setattr(self, "exit_code", _EXIT_CODES.get(failed.code, REFUSED))  # noqa: B010 - click's
        self._failed, self._hints = failed, hints

    def show(self, file: Any = None) -> None:
        """The message, what it is about, and what to do."""
        show.line(f"Error: {self.message}", err=True, fg="red")
        detail = self._failed.detail
        for name, value in (detail if isinstance(detail, dict) else {"detail": detail}).items():
            if value is not None:
                show.line(f"  {name}: {value}", err=True)
        for hint in self._hints:
            show.line(f"  {hint}", err=True)


def _hints(failed: errors.KnifyError, client: Client | None) -> tuple[str, ...]:
    """What to do about it."""
    request_id = getattr(failed, "request_id", None)
    if failed.code == "UNAUTHORIZED" and client is not None:
        return (*client.access.sought, "set KNIFY_API_KEY, or run this as the user of `knify up`")
    if failed.code == "FORBIDDEN":
        return ("`knify keys list`, with an admin key, shows what each key may do",)
    if failed.code == "INTERNAL_ERROR" and request_id:
        return (f"in the server's log: {request_id}",)
    return ()


def client() -> Client:
    """The SDK's client; imported late because it takes longer than all of `--help`."""
    from knify.client import Client, Policy

    # A server that has never answered is not waited for; one that goes away meanwhile is.
    opened = Client(policy=Policy(first_attempts=1, on_wait=_waits))
    context = click.get_current_context()
    context.meta[_CLIENT] = opened
    context.call_on_close(opened.close)
    return opened


def _waits(seconds: float, why: errors.KnifyError) -> None:
    """Nobody shall wonder why nothing happens."""
    if seconds >= LONG_PAUSE:
        show.line(f"… again in {seconds:.0f} s: {why.message}", err=True, fg="yellow")


def settings() -> Settings:
    """This machine's settings, for commands that work on it directly."""
    from knify import settings as settings_module

    return settings_module.load()


def later(module: str) -> Any:
    """A module that only one command needs, imported when it is run."""
    return importlib.import_module(module)


@contextmanager
def leaving_it(job_id: str) -> Iterator[None]:
    """Ctrl-C in the block ends this command but not the job, and says how to come back."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)
        show.line(f"{job_id} goes on; watch it again with:", err=True)
        show.line(f"  knify jobs logs {job_id} --follow", err=True)
        show.line(f"or stop it: knify jobs cancel {job_id}", err=True)
        leave(INTERRUPTED)


def leave(code: int | None) -> NoReturn:
    """End the command with this exit code."""
    click.get_current_context().exit(code or 0)
