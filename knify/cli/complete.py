"""Completion in the shell: the script for it, and ids that the server knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import click
from click import shell_completion

from knify.cli import show

if TYPE_CHECKING:
    from knify.client import Client

Known: TypeAlias = list[tuple[str, str]]  # a word and what it is

_SAFE = re.compile(r"[A-Za-z0-9._/@-]+")


def command(program: str) -> click.Command:
    """`completion bash|zsh|fish` for one of our programs."""

    @click.command()
    @click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
    def completion(shell: str) -> None:
        """Print the script that completes this command in a shell.

        \b
        bash:  eval "$(PROGRAM completion bash)"     in ~/.bashrc
        zsh:   eval "$(PROGRAM completion zsh)"      in ~/.zshrc
        fish:  PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
        """
        kind = shell_completion.get_completion_class(shell)
        assert kind is not None
        root = click.get_current_context().find_root().command
        variable = f"_{program.upper()}_COMPLETE"
        click.echo(kind(root, {}, program, variable).source())

    assert completion.help is not None
    completion.help = completion.help.replace("PROGRAM", program)
    return completion


def jobs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[shell_completion.CompletionItem]:
    """Ids of the newest jobs."""

    def known(client: Client) -> Known:
        return [(job.id, f"{job.status} {job.name or ''}") for job in client.jobs(limit=50)]

    return _items(known, incomplete)


def workspaces(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[shell_completion.CompletionItem]:
    """Ids of the newest workspaces."""

    def known(client: Client) -> Known:
        return [(w.workspace_id or "", w.pinned) for w in client.list_workspaces()]

    return _items(known, incomplete)


def _items(
    known: Callable[[Client], Known], incomplete: str
) -> list[shell_completion.CompletionItem]:
    """What the shell may see of what others have named."""
    return [
        shell_completion.CompletionItem(word, help=show.clean(about).replace("\t", " "))
        for word, about in _asked(known)
        if word.startswith(incomplete) and _SAFE.fullmatch(word)
    ]


def _asked(known: Callable[[Client], Known]) -> Known:
    """The server's answer at once or none: the Tab key must not wait, nor complain."""
    try:
        from knify.client import Client, Policy

        with Client(timeout=1.0, policy=Policy(attempts=1)) as client:
            return known(client)
    except Exception:
        return []
