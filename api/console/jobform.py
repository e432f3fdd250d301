"""The form of a new job: its fields, and how their texts become the `spec` of `POST /jobs`.

A text that is not what its field takes is handed on as it is: the API's own checks then say so.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knify import kinds

TEXT, AREA, WHOLE, NUMBER = "text", "area", "whole", "number"
LINES, PAIRS, JSON, SECRETS, CHOICE = "lines", "pairs", "json", "secrets", "choice"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a spec, as the form asks for it."""

    name: str
    label: str
    kind: str = TEXT
    help: str = ""
    placeholder: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    part: str = "more"  # of the form: what | files | limits | agent | network | more

    @property
    def types(self) -> tuple[str, ...]:
        """The job types that it belongs to."""
        return tuple(name for name, kind in kinds.JOB_TYPES.items() if self.name in kind.known)

    @property
    def is_for_all(self) -> bool:
        """Whether it belongs to each."""
        return self.name in kinds.COMMON


_AGENTS = (
    ("", "The default"), ("runbook", "None: run the steps"), ("none", "None"),
    ("claude", "Claude Code"), ("cursor", "Cursor"), ("gemini", "Gemini"), ("codex", "Codex"),
)  # fmt: skip
_NETWORKS = (
    ("", "Isolated: models only"), ("outbound", "Some hosts"), ("full", "Any public host"),
)  # fmt: skip
FIELDS: Final = (
    Field(
        "prompt", "What to do", AREA, part="what",
        help="For a runbook: Markdown whose shell, Python and JavaScript blocks run in order, "
        "or @file.md of the workspace.",
        placeholder="Add tests for the parser, and mend what they find",
    ),
    Field(
        "command", "Command", AREA, part="what",
        help="One line or a script; it is run by sh in /workspace.", placeholder="make test",
    ),
    Field("user_id", "User", part="what", placeholder="user_12345"),
    Field("agent", "Agent", CHOICE, part="what", choices=_AGENTS),
    Field("model", "Model", part="what", placeholder="auto"),
    Field(
        "image", "Image", part="files", help="Empty: the one of this type.",
        placeholder="localhost/knify/base:latest",
    ),
    Field(
        "artifact_patterns", "Files to keep", LINES, part="files",
        help="Globs below /workspace, one a line. Empty: all files that were made or changed.",
        placeholder="out/**/*.json",
    ),
    Field(
        "env", "Environment",
        PAIRS, part="files", help="NAME=value, one a line. Everybody who can see "
          "this job can read them.", placeholder="LOG_LEVEL=debug"),
    Field(
        "secrets", "Secrets",
        SECRETS, part="files", help="NAME=source:key, one a line; source is vault, "
          "env or file.", placeholder="GITHUB_TOKEN=vault:github"),
    Field("timeout", "Time limit", part="limits", placeholder="24h"),
    Field("hang_timeout", "Silence limit", part="limits", placeholder="none",
          help="Ends a job that prints nothing for so long."),
    Field("cpus", "Cores", NUMBER, part="limits", placeholder="2"),
    Field("memory", "Memory", part="limits", placeholder="2G"),
    Field("disk", "Disk", part="limits", placeholder="10G"),
    Field(
        "priority", "Priority",
        WHOLE, part="limits", placeholder="0", help="-10 to 10, higher first."),
    Field("max_tokens", "Token budget", WHOLE, part="agent", placeholder="none"),
    Field("max_cost_usd", "Cost budget in USD", NUMBER, part="agent", placeholder="none"),
    Field("max_turns", "Most answers", WHOLE, part="agent", placeholder="none"),
    Field(
        "session_id", "Conversation",
        part="agent", help="Goes on with this one of the agent's own.",
          placeholder="a new one"),
    Field("system_prompt", "System prompt", AREA, part="agent", help="Put behind the agent's own."),
    Field(
        "allowed_tools", "Tools",
        LINES, part="agent", help="One a line. Empty: all.", placeholder="Read"),
    Field("mcp_config", "MCP servers", JSON, part="agent", placeholder='{"mcpServers": {}}'),
    Field(
        "network_mode", "Network", CHOICE, part="network",
        choices=_NETWORKS,
    ),
    Field(
        "allowed_hosts", "Hosts",
        LINES, part="network", help="One a line; *.example.com stands for all "
          "below it.", placeholder="pypi.org"),
    Field("metadata", "Metadata", PAIRS, help="name=value, one a line. Jobs are found by it.",
          placeholder="team=infra"),
)  # fmt: skip
ICONS: Final = {
    "claude_task": "sparkles",
    "cursor_task": "bot",
    "gemini_task": "zap",
    "codex_task": "file-code",
    "runbook_task": "list-checks",
    "command_task": "terminal",
    "fh_e2e_tools": "globe",
    "user_exam": "user",
}
PARTS: Final = (
    ("files", "Image, files and environment"),
    ("limits", "Limits"),
    ("agent", "Agent and budgets"),
    ("network", "Network"),
    ("more", "Metadata"),
)


def spec_of(form: Mapping[str, str]) -> dict[str, Any]:
    """The `spec` that the form asks for: the fields of its type that are not empty."""
    job_type = form.get("job_type", "")
    spec: dict[str, Any] = {"job_type": job_type}
    known = kinds.JOB_TYPES[job_type].known if job_type in kinds.JOB_TYPES else frozenset[str]()
    for field in FIELDS:
        text = form.get(field.name, "").replace("\r\n", "\n")
        if field.name in known and text.strip():
            spec[field.name] = _value(field, text)
    if workspace := form.get("workspace_path", "").strip():
        spec["workspace_path"] = workspace
    if "time_range" in known and (form.get("from") or form.get("to")):
        spec["time_range"] = {name: _moment(form.get(name, "")) for name in ("from", "to")}
    return spec


def form_of(request: Mapping[str, Any], name: str | None) -> dict[str, str]:
    """The other way round: what the form shows of a job that is to be run again."""
    shown = {"job_type": str(request.get("job_type", "")), "name": name or ""}
    kinds_of = {field.name: field.kind for field in FIELDS}
    for field, value in request.items():
        if field == "time_range" and isinstance(value, Mapping):
            shown |= {name: str(value.get(name, ""))[:16] for name in ("from", "to")}
        elif field in kinds_of or field == "workspace_path":
            shown[field] = _text(kinds_of.get(field, TEXT), value)
    return shown


def _value(field: Field, text: str) -> Any:
    if field.kind in (WHOLE, NUMBER):
        return _number(text.strip())
    if field.kind == LINES:
        return _lines(text)
    if field.kind == PAIRS:
        return {n: _scalar(v) if field.name == "metadata" else v for n, v in _pairs(text)}
    if field.kind == SECRETS:
        return [_secret(name, where) for name, where in _pairs(text)]
    if field.kind == JSON:
        return _json(text)
    return text if field.kind == AREA else text.strip()


def _text(kind: str, value: Any) -> str:
    if kind == PAIRS and isinstance(value, Mapping):
        return "\n".join(f"{name}={_plain(item)}" for name, item in value.items())
    if kind == SECRETS and isinstance(value, list):
        return "\n".join(f"{s.get('name')}={s.get('source')}:{s.get('key')}" for s in value)
    if kind == LINES and isinstance(value, list):
        return "\n".join(map(str, value))
    if kind == JSON:
        return json.dumps(value, indent=2)
    if isinstance(value, list):
        return shlex.join(map(str, value))
    return str(value)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for line in _lines(text):
        name, _, value = line.partition("=")
        yield name.strip(), value


def _secret(name: str, where: str) -> dict[str, str]:
    source, _, key = where.partition(":")
    return {"name": name, "source": source.strip(), "key": key.strip()}


def _scalar(text: str) -> Any:
    """A number or a truth as JSON writes it, else the text."""
    value = _json(text)
    return value if isinstance(value, int | float | bool) else text


def _json(text: str) -> Any:
    """What it means as JSON, else the text; neither has infinite numbers, whatever Python says."""
    try:
        return json.loads(text, parse_constant=_number_of_json, parse_float=_number_of_json)
    except (ValueError, RecursionError):
        return text


def _number_of_json(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number")
    return value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _moment(text: str) -> str:
    """What a date field gives, which has no zone, is UTC."""
    return f"{text}:00Z" if len(text) == len("2026-01-31T10:00") else text
