"""What is to be run, from what a user wrote: `make test`, `@runbook.md`, a folder, variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knify.cli import folders, specs, words

if TYPE_CHECKING:
    from knify.client import Client

#: Types whose WHAT is no file of this machine, whatever it begins with.
_AS_IT_IS = ("command_task", "fh_e2e_tools", "user_exam")
#: Types that have conversations.
_AGENTS = ("claude_task", "codex_task", "cursor_task", "gemini_task")


def spec(
    what: str, folder: Path | None, given: Mapping[str, Any], *, named: bool
) -> dict[str, Any]:
    """A job's spec. `named`: it has a workspace, whether its folder lies here or not."""
    if not what.strip():
        raise click.UsageError("there is nothing to run: WHAT is empty")
    is_file = what.startswith("@") and given["job_type"] not in _AS_IT_IS
    kind = given["job_type"] or ("runbook_task" if is_file else "command_task")
    text = _runbook(what[1:], folder, named=named) if is_file else what
    made: dict[str, Any] = {"job_type": kind, specs.text_field(kind): text}
    made |= _time_range(kind, given) | specs.fields(given)
    if given.get("priority") is not None:
        made["priority"] = given["priority"]
    if given.get("metadata"):
        made["metadata"] = words.pairs("--metadata", given["metadata"])
    return made


def agent_of(client: Client, job_id: str) -> str | None:
    """The type of a job that was an agent's: who goes on with it speaks to that agent."""
    kind = str(client.job(job_id).spec.get("job_type", ""))
    return kind if kind in _AGENTS else None


def _time_range(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`--from` and `--to`, which belong to an examination and must be there."""
    ends = {name: given.get(f"{name}_") for name in ("from", "to")}
    if kind != "user_exam":
        if any(ends.values()):
            raise click.UsageError("--from and --to belong to --type user_exam")
        return {}
    if not all(ends.values()):
        raise click.UsageError("user_exam needs --from and --to, such as 2026-01-31T10:00:00Z")
    return {"time_range": ends}


def folder_of(workspace: str | None) -> Path | None:
    """The folder that is to be uploaded; None when it is a workspace's name, or none is given."""
    if workspace is None:
        return None
    if Path(workspace).is_dir():
        return Path(workspace)
    name = workspace.removeprefix("/workspaces/")
    if "/" in name or name.startswith((".", "~")):
        raise click.UsageError(f"--workspace: there is no folder {workspace}")
    return None


def workspace_path(
    client: Client, workspace: str, folder: Path | None, *, quiet: bool = False
) -> str:
    """What the job's `workspace_path` is; the version pins just what was uploaded."""
    if folder is None:
        return f"/workspaces/{workspace.removeprefix('/workspaces/')}"
    return folders.upload(client, folder, quiet=quiet).pinned


def _runbook(name: str, folder: Path | None, *, named: bool) -> str:
    """`@file` for a runbook in the workspace, or the text of one that lies elsewhere here."""
    path = Path(name)
    if folder is not None and (folder / path).is_file():
        path = folder / path
    if folder is not None and path.is_file() and path.resolve().is_relative_to(folder.resolve()):
        return f"@{path.resolve().relative_to(folder.resolve()).as_posix()}"
    if path.is_file():
        return _text(path)
    if named and folder is None and name:
        return f"@{name}"
    where = "neither here nor in the workspace" if named else "and no --workspace is given"
    raise click.UsageError(f"there is no runbook {name}, {where}")


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is no UTF-8 text") from None
    if not text.strip():
        raise click.UsageError(f"{path} is empty")
    return text
