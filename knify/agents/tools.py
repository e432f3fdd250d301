"""The tools of all agents under one name each, and their parameters too.

A name that stands in no table passes through as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from knify.agents import base, stream

Own = Mapping[str, tuple[str, ...]]
"""For each of our names, what one agent's program calls it."""

CLAUDE: Final[Own] = {
    "write_file": ("Write",),
    "edit_file": ("Edit", "MultiEdit", "NotebookEdit"),
    "read_file": ("Read", "NotebookRead"),
    "run_command": ("Bash",),
    "search": ("Grep",),
    "list_files": ("Glob", "LS"),
}
GEMINI: Final[Own] = {
    "write_file": ("write_file",),
    "edit_file": ("replace",),
    "read_file": ("read_file", "read_many_files"),
    "run_command": ("run_shell_command",),
    "search": ("grep_search", "search_file_content"),
    "list_files": ("glob", "list_directory"),
}
CURSOR: Final[Own] = {
    "write_file": ("write",),
    "edit_file": ("edit",),
    "read_file": ("read",),
    "run_command": ("shell",),
    "search": ("grep", "semSearch"),
    "list_files": ("glob", "ls"),
    "delete_file": ("delete",),
}
_PARAMETERS: Final = {
    "file_path": "path",
    "absolute_path": "path",
    "notebook_path": "path",
    "dir_path": "path",
    "fileText": "content",
}
_HIDDEN: Final = ("toolCallId",)


def name(own: Own, called: str) -> str:
    """What a tool of this agent is called by us."""
    return next((ours for ours, names in own.items() if called in names), called)


def names(own: Own, wanted: Iterable[str]) -> tuple[str, ...]:
    """What the agent calls the tools that are wanted, under our names or its own."""
    found = [one for ours in wanted for one in own.get(ours, (ours,))]
    return tuple(dict.fromkeys(found))


def parameters(given: Any) -> dict[str, Any]:
    """The arguments of a tool call as events show them."""
    arguments = given if isinstance(given, dict) else {}
    renamed = {_PARAMETERS.get(n, n): v for n, v in arguments.items() if n not in _HIDDEN}
    shown: dict[str, Any] = stream.shown(renamed)
    return shown


def use(id_: Any, tool: str, given: Any) -> base.Event:
    """A tool call that begins; `tool` is our name for it."""
    call = {"id": stream.text(id_, 200), "tool": stream.text(tool, 200)}
    return {"type": "tool_use", **call, "parameters": parameters(given)}


def result(id_: Any, *, is_error: bool, output: str = "", exit_code: Any = None) -> base.Event:
    """How a tool call ended."""
    event: base.Event = {"type": "tool_result", "id": stream.text(id_, 200)}
    event["status"] = "error" if is_error else "success"
    if type(exit_code) is int:
        event["exit_code"] = exit_code
    return event | ({"output": base.clip(output)} if output else {})
