"""How commands start and how they fail: one line on stderr and a stable exit code."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from knify import errors, homefile
from knify.cli import show, starting

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
#: What is in the detail stands in the message too.
_SAYS_ALL: Final = ("INSUFFICIENT_RESOURCES",)
_CURES: Final = {
    "FORBIDDEN": "`knify keys list`, with an admin key, shows what each key may do",
    "SANDBOX_BUSY": "`knify jobs cleanup --force` cancels them",
    "LAST_ADMIN_KEY": "`knify keys revoke --force` does it all the same",
}
_IN_OUR_WORDS: Final = {
    "with POST /workspaces": "with `knify workspaces push`",
    "or use force": "or use --force",
    "?force=true": "--force",
}
_PAUSE_WORDS: Final = 30.0  # seconds between two words on pauses
_CLIENT: Final = "knify.client"  # where a command's context keeps it


class Group(click.Group):
    """A command group whose commands may raise any KnifyError."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of Knify's becomes one of click's."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        homefile.read()
        try:
            return super().invoke(ctx)
        except errors.KnifyError as failed:
            hints = _hints(failed, ctx.meta.get(_CLIENT))
            raise Failure(failed, hints, self._options(ctx)) from failed
        except BrokenPipeError:
            raise  # click's: the reader has gone, such as `head`
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(INTERRUPTED)
        except OSError as failed:
            raise Failure(errors.KnifyError(show.clean(failed))) from failed

    def _options(self, ctx: click.Context) -> dict[str, str]:
        """The called command's options by the fields that they are, whose names they bear."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        params = () if command is None or isinstance(command, click.Group) else command.params
        return {p.name: p.opts[0] for p in params if p.name and isinstance(p, click.Option)}


class Failure(click.ClickException):
    """An error of Knify's as click shows it."""

    def __init__(
        self,
        failed: errors.KnifyError,
        hints: tuple[str, ...] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        """`options`: of the command that failed, by the fields that they are."""
        text = failed.message
        for theirs, ours in _IN_OUR_WORDS.items():
            text = text.replace(theirs, ours)
        super().__init__(text)
        setattr(self, "exit_code", _EXIT_CODES.get(failed.code, REFUSED))  # noqa: B010 - click's
        self._failed, self._hints, self._options = failed, hints, options or {}

    def show(self, file: Any = None) -> None:
        """The message, what it is about, and what to do."""
        show.line(f"Error: {self.message}", err=True, fg="red")
        if self._failed.code not in _SAYS_ALL:
            self._show_detail()
        for hint in (*self._hints, *getattr(self._failed, "__notes__", ())):
            show.line(f"  {hint}", err=True)

    def _show_detail(self) -> None:
        detail = self._failed.detail
        for name, value in (detail if isinstance(detail, dict) else {"detail": detail}).items():
            if value is not None and name != "request_id":  # that is a hint's
                for text in _in_words(name, value):
                    show.line(f"  {text}", err=True)
            if name == "field" and (option := self._option(str(value))):
                show.line(f"  option: {option}", err=True)

    def _option(self, field: str) -> str | None:
        return self._options.get(field.removeprefix("spec.").partition(".")[0])


def _in_words(name: str, value: Any) -> Iterator[str]:
    """A part of an error's detail, a line each; of a list of problems each its own."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for one in value:
            named = {"field", "message"} <= set(one)
            yield f"{one['field'] or 'all'}: {one['message']}" if named else _pairs(one)
    elif isinstance(value, list):
        yield f"{name}: {', '.join(map(str, value))}"
    else:
        words = name.replace("_", " ") if isinstance(value, dict) else name
        yield f"{words}: {_pairs(value) if isinstance(value, dict) else value}"


def _pairs(value: dict[str, Any]) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items() if one is not None)


def _hints(failed: errors.KnifyError, client: Client | None) -> tuple[str, ...]:
    """What to do about it."""
    request_id = getattr(failed, "request_id", None)
    if failed.code == "UNAUTHORIZED" and client is not None:
        return _about_keys(client)
    if failed.code == "INTERNAL_ERROR" and request_id:
        return (f"in the server's log: {request_id}",)
    return (_CURES[failed.code],) if failed.code in _CURES else ()


def _about_keys(client: Client) -> tuple[str, ...]:
    *looked, last = client.access.sought
    if client.access.api_key is None:
        return (*looked, last, "set KNIFY_API_KEY, or run this as the user of `knify up`")
    refused = f"{last}: that key was refused"
    if looked:  # the variable is not set, so it was the file's
        return (*looked, refused, "is the server at KNIFY_URL the one of that file?")
    return (refused, "set another one, or unset it to use this machine's admin key")


def client() -> Client:
    """The SDK's client; imported late because it takes longer than all of `--help`."""
    from knify.client import Client, Policy, access

    # A server that has never answered is waited for only where it is seen to be starting; one that
    # goes away meanwhile always is.
    found = access.resolve()
    start = starting.seen() if found.loopback else None
    if start is not None and found.api_key is None:
        show.line("… `knify up` runs, and has written no admin key yet", err=True, fg="yellow")
        starting.wait_for_key()
    first = 1 if start is None else Policy().attempts
    waits = _Waits(start, lambda: opened.setup.met)
    opened = Client(policy=Policy(first_attempts=first, on_wait=waits))
    context = click.get_current_context()
    context.meta[_CLIENT] = opened
    context.call_on_close(opened.close)
    return opened


class _Waits:
    """Nobody shall wonder why nothing happens, nor read the same with every attempt."""

    def __init__(self, start: str | None, answered: Callable[[], bool]) -> None:
        """`start`: what is starting here, to be said once, unless the server has `answered`."""
        self._lock, self._next = threading.Lock(), 0.0
        self._start, self._answered = start, answered

    def __call__(self, seconds: float, why: errors.KnifyError) -> None:
        with self._lock:
            start, self._start = self._start, None
            is_new = start is not None and not self._answered()
            if is_new and why.code == "CONNECTION_FAILED":
                show.line(f"… {start}: waiting for it", err=True, fg="yellow")
            if seconds < LONG_PAUSE or time.monotonic() < self._next:
                return
            self._next = time.monotonic() + _PAUSE_WORDS
        show.line(f"… trying again: {why.message}", err=True, fg="yellow")


def settings() -> Settings:
    """This machine's settings, for commands that work on it directly."""
    from knify import settings as settings_module

    return settings_module.load()


def later(module: str) -> Any:
    """A module that only one command needs, imported when it is run."""
    return importlib.import_module(module)


@contextmanager
def leaving_it(name: str, again: str | None = None, stop: str | None = None) -> Iterator[None]:
    """Ctrl-C, or a server that is away for long, ends this command but not the job.

    Either says how to come back: by `again`, or by `stop`; without them, a job's commands.
    """
    how = (
        f"{name} goes on; watch it again with:",
        f"  {again or f'knify jobs logs {name} --follow'}",
        f"or stop it: {stop or f'knify jobs cancel {name}'}",
    )
    try:
        yield
    except KeyboardInterrupt:
        click.echo(err=True)
        for text in how:
            show.line(text, err=True)
        leave(INTERRUPTED)
    except errors.KnifyError as failed:
        if failed.code == "CONNECTION_FAILED":
            for text in how:
                failed.add_note(text)
        raise


def leave(code: int | None) -> NoReturn:
    """End the command with this exit code."""
    click.get_current_context().exit(code or 0)
