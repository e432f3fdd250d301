"""What the stub of a model says next: directives in the prompt, one a line, played step by step.

    WRITE path: text      call the agent's tool that writes a file (\\n in the text is a newline)
    EDIT path: old -> new                          … that edits one
    READ path                                      … that reads one
    RUN command                                    … that runs a command in a shell
    TOOL name {json}                               … of this name, with these arguments
    SAY text              a message                BIG n                a message of n characters
    RECALL                says all prompts of this conversation before this one
    RESULTS               says what this prompt's tool calls have answered
    FAULT name            this step is answered so each time, see `model_server.FAULTS`

A prompt without any is answered by `Done: ` and its begin. Nothing is remembered between requests:
where a conversation stands is read from what the agent sends, as a real model does.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

_DIRECTIVE = re.compile(
    r"^ ?(WRITE|EDIT|READ|RUN|TOOL|SAY|BIG|RECALL|RESULTS|FAULT)\b ?(.*)$", re.MULTILINE
)
_CALLS = ("WRITE", "EDIT", "READ", "RUN", "TOOL")

#: The tools of the agents' own programs: for each, the name of what it takes.
_WRITERS = {"Write": ("file_path", "content"), "write_file": ("file_path", "content")}
_EDITORS = {
    "Edit": ("file_path", "old_string", "new_string"),
    "replace": ("file_path", "old_string", "new_string"),
}
_READERS = {"Read": "file_path", "read_file": "file_path"}
_SHELLS = {
    "Bash": "command",
    "run_shell_command": "command",
    "exec_command": "cmd",
    "shell_command": "command",
    "shell": "command",
}
_CODE = "exec"  # Codex with its newer models: a program in JavaScript that calls its tools


@dataclass(frozen=True)
class Said:
    """One message of a conversation, whoever's format it came in."""

    role: str  # user or assistant
    text: str = ""
    results: tuple[str, ...] = ()  # what tool calls have answered


@dataclass(frozen=True)
class Asked:
    """A request for the next message."""

    model: str
    stream: bool
    tools: tuple[str, ...]  # by name
    conversation: tuple[Said, ...]
    schema: dict[str, Any] | None = None  # of the JSON that is wanted instead of words


@dataclass(frozen=True)
class Call:
    """One tool call."""

    name: str
    arguments: dict[str, Any]
    code: str | None = None  # instead of arguments, for a tool that takes a program
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(8)}")


@dataclass(frozen=True)
class Answer:
    """The next message, or that it fails."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    fault: str | None = None


def answer(asked: Asked) -> Answer:
    """What the model says now."""
    if asked.schema is not None:
        return Answer(text=json.dumps(_example(asked.schema)))
    at = _last_prompt(asked.conversation)
    prompt = asked.conversation[at].text if at is not None else ""
    found = _DIRECTIVE.findall(prompt)
    if at is None or not found:
        return Answer(text=f"Done: {' '.join(prompt.split())[:80]}")
    results = [one for said in asked.conversation[at:] for one in said.results]
    steps = _steps(found)
    now = steps[min(len(results), len(steps) - 1)]
    earlier = [said.text for said in asked.conversation[:at] if _is_prompt(said)]
    words, call, fault = [], (), None
    for name, rest in now:
        if name == "FAULT":
            fault = rest.strip()
        elif name in _CALLS:
            call = (_call(name, rest, asked.tools),)
        else:
            words.append(_words(name, rest, earlier, results))
    return Answer(text="\n".join(words), calls=call, fault=fault)


def _example(schema: dict[str, Any]) -> Any:
    """A value that fits: agents ask so which model to take, or for a title."""
    kind = str(schema.get("type", "object")).lower()
    if schema.get("enum"):
        return schema["enum"][0]
    if kind == "object":
        return {name: _example(one) for name, one in schema.get("properties", {}).items()}
    return {"integer": 1, "number": 1, "boolean": True, "array": []}.get(kind, "a stub's words")


def _is_prompt(said: Said) -> bool:
    return said.role == "user" and bool(_DIRECTIVE.search(said.text))


def _last_prompt(conversation: tuple[Said, ...]) -> int | None:
    """Where the prompt stands that is being worked on: the last one with directives, if any."""
    users = [n for n, said in enumerate(conversation) if said.role == "user" and said.text]
    with_directives = [n for n in users if _is_prompt(conversation[n])]
    return next(iter(reversed(with_directives or users)), None)


def _steps(found: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Directives by message: each tool call ends one, and the last one has none."""
    steps: list[list[tuple[str, str]]] = [[]]
    for one in found:
        steps[-1].append(one)
        if one[0] in _CALLS:
            steps.append([])
    if not steps[-1]:
        steps[-1] = [("SAY", "Done.")]
    return steps


def _words(name: str, rest: str, earlier: list[str], results: list[str]) -> str:
    if name == "RECALL":
        return "Before: " + " | ".join(earlier)
    if name == "RESULTS":
        return "Results: " + " | ".join(results)
    return "x" * int(rest) if name == "BIG" else rest


def _call(name: str, rest: str, tools: tuple[str, ...]) -> Call:
    if name == "TOOL":
        tool, _, arguments = rest.partition(" ")
        return Call(tool, json.loads(arguments or "{}"))
    if name == "RUN":
        return _shell(rest, tools)
    path, _, text = rest.partition(": ")
    text = text.replace("\\n", "\n")
    if name == "WRITE":
        for tool in _offered(_WRITERS, tools):
            return Call(tool, dict(zip(_WRITERS[tool], (path, text), strict=True)))
        return _shell(f"mkdir -p $(dirname {path}); cat >{path} <<'END'\n{text}\nEND", tools)
    if name == "READ":
        for tool in _offered(_READERS, tools):
            return Call(tool, {_READERS[tool]: path})
        return _shell(f"cat {path}", tools)
    old, _, new = text.partition(" -> ")
    tool = next(_offered(_EDITORS, tools))
    return Call(tool, dict(zip(_EDITORS[tool], (path, old, new), strict=True)))


def _shell(command: str, tools: tuple[str, ...]) -> Call:
    if _CODE in tools:
        program = f"const done = await tools.exec_command({json.dumps({'cmd': command})});"
        return Call(_CODE, {}, f"{program}\ntext(done);")
    tool = next(_offered(_SHELLS, tools), "Bash")
    words: Any = ["sh", "-c", command] if tool == "shell" else command
    more = {"description": "a command"} if tool in ("Bash", "run_shell_command") else {}
    return Call(tool, {_SHELLS[tool]: words, **more})


def _offered(known: dict[str, Any], tools: tuple[str, ...]) -> Any:
    return (tool for tool in known if tool in tools)
