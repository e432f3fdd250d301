"""Completion in the shell: the script for it, and ids that the server knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
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
        if shell == "bash":  # else it takes @ for a word of its own
            click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}")
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


def tasks(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[shell_completion.CompletionItem]:
    """Ids of the newest tasks."""

    def known(client: Client) -> Known:
        return [(task.id, f"{task.state} {task.name or ''}") for task in client.tasks(limit=50)]

    return _items(known, incomplete)


def workspaces(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[shell_completion.CompletionItem]:
    """Names with versions and ids of the newest workspaces."""

    def known(client: Client) -> Known:
        found = client.list_workspaces()
        names = [(w.pinned.removeprefix("/workspaces/"), w.workspace_id or "") for w in found]
        return names + [(id_, name) for name, id_ in names]

    return _items(known, incomplete)


def folders_and_workspaces(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[shell_completion.CompletionItem]:
    """Folders here, then names of workspaces."""

    def known(client: Client) -> Known:
        names = {w.path.removeprefix("/workspaces/") for w in client.list_workspaces() if w.path}
        return [(name, "workspace") for name in sorted(names)]

    return _paths(incomplete, files=False) + _items(known, incomplete)


def runbooks(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[shell_completion.CompletionItem]:
    """`@` and a file of this machine."""
    if not incomplete.startswith("@"):
        return []
    return _paths(incomplete[1:], files=True, mark="@")


def _paths(
    incomplete: str, *, files: bool, mark: str = ""
) -> list[shell_completion.CompletionItem]:
    """What lies here and begins so; folders end with a slash."""
    before, slash, _ = incomplete.rpartition("/")
    try:
        there = sorted(Path(before + slash or ".").iterdir())
    except OSError:
        return []
    names = [f"{before}{slash}{p.name}{'/' if p.is_dir() else ''}" for p in there]
    return [
        shell_completion.CompletionItem(mark + name)
        for name in names
        if name.startswith(incomplete) and _SAFE.fullmatch(name) and (files or name[-1] == "/")
    ]


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
